"""Trains a small model of every family with and without the callback, and says which need an argument.

    python -m benchmarks.model_families [--only NAME ...] [--family PREFIX] [--list] [--write-docs]

The families are those of torchvision (classification, segmentation, detection, video) and some of timm, transformers
and PyTorch Geometric; ``pip install ".[models]"`` installs these libraries. Every model has random weights, and is
trained for two batches of tiny random samples, each family in a process of its own. The results are merged into
``results/model_families.json`` as they come. ``--write-docs`` writes the tables of ``docs/models.md`` from that file,
without any training.
"""

from __future__ import annotations

import argparse

from benchmarks.model_families.registry import FAMILIES, chosen_families
from benchmarks.model_families.report import write_docs
from benchmarks.model_families.results import figures, read_results, store
from benchmarks.model_families.runner import run_in_subprocess
from benchmarks.reporting import print_figures

#: Seconds that one family may take by default.
TIME_LIMIT = 900.0


def main() -> None:
    """Runs the chosen families, or writes the documentation, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="full names of families, or last parts")
    parser.add_argument("--family", default="", metavar="PREFIX", help="e.g. torchvision.detection")
    parser.add_argument("--list", action="store_true", help="list the families and run nothing")
    parser.add_argument("--write-docs", action="store_true", help="write the tables from the results and run nothing")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT, metavar="SECONDS", help="for each family")
    args = parser.parse_args()
    if args.list:
        for name, family in FAMILIES.items():
            print(f"{name}: {family.model}")
        return
    if not args.write_docs:
        _run(args.only, args.family, args.time_limit)
    results = read_results()
    if args.write_docs:
        write_docs(results)
    print_figures(figures(results["rows"]))


def _run(only: list[str], prefix: str, time_limit: float) -> None:
    """Runs the chosen families one after the other."""
    families = chosen_families(only, prefix)
    for number, family in enumerate(families, 1):
        row = run_in_subprocess(family, time_limit)
        store(row)
        words = f"{row['result']}, {row['layers']} layers, {row['seconds_with']:.1f} s"
        remarks = " ".join(filter(None, [row["error"], row["error_with_argument"], row["differences"]]))
        print(f"{number}/{len(families)} {family.name}: {words} {remarks}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
