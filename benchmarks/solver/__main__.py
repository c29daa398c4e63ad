"""The solver beside its peers: seconds to a good fit, cost of a pass, jitter over training, growth with size.

python -m benchmarks.solver [--quick] [--data-dir DIR] [--prototype DIR] [--seeds 8]

One thread, one process. Processor seconds count; wall seconds stand beside them in the JSON. How a peer is timed is
written in `measure`; ours is timed over its whole call at its default settings, final evaluation included.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

# One thread, said before the numerical libraries are loaded.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch

from benchmarks.reporting import machine, print_figures, results_path, write_json, write_section
from benchmarks.solver.best_errors import best_known, reference
from benchmarks.solver.cost import passes, sweep
from benchmarks.solver.factorlens_runner import BEGAN, say
from benchmarks.solver.figures import judge
from benchmarks.solver.jitter import jitter
from benchmarks.solver.networks import DATA
from benchmarks.solver.plot import draw
from benchmarks.solver.problems import RANKS, load_problem, load_snapshots
from benchmarks.solver.report import report
from benchmarks.solver.runs import WITHIN, cold, warm

_PACKAGES = ("scikit-learn", "nmf-torch", "torchnmf", "tensorly", "lightning-factorlens")


def main() -> None:
    """Measures, writes JSON, picture and table, and closes with the figures."""
    args = _arguments()
    torch.set_num_threads(1)
    # Before and after: a busy neighbour would show.
    payload: dict[str, Any] = {"machine": machine(_PACKAGES), "quick": args.quick, "within": WITHIN, "ranks": RANKS}
    payload["problems"], payload["cold"], payload["warm"], payload["passes"] = {}, {}, {}, {}
    for name in args.problems:
        _problem(payload, name, args)
    if "mnist" in args.problems:
        payload["jitter"] = jitter(load_snapshots("mnist", args.data_dir))
    say("sweep")
    payload["sweep"] = sweep(args.quick)
    payload["load_average_after"] = machine()["load_average"]
    payload["wall_seconds"] = time.perf_counter() - BEGAN
    figures = judge(payload)
    write_json("solver", "solver", payload, figures)
    draw(payload, results_path("solver", "solver.png"))
    write_section("solver", "solver", report(payload, figures))
    print_figures(figures)


def _problem(payload: dict[str, Any], name: str, args: argparse.Namespace) -> None:
    """Everything that is measured on one problem, into the payload."""
    problem = load_problem(name, args.data_dir)
    payload["problems"][name] = {"m": problem.m, "N": problem.N, "source": problem.source}
    say(f"{name}: {problem.m} × {problem.N}, {problem.source}")
    best = reference(problem, args.quick)
    payload["cold"][name] = cold(problem, best, args.seeds, args.quick, args.only, args.prototype)
    if name != "synth":
        before = load_problem(name, args.data_dir, before=1)
        payload["warm"][name] = warm(problem, before, best, args.seeds)
    payload["passes"][name] = passes(problem, 3 if args.quick else 7)
    lowered = {r: v / best_known(problem)[r] - 1 for r, v in best.items()}
    payload["problems"][name]["best_share"] = {r: v / problem.energy for r, v in best.items()}
    payload["problems"][name]["best_lowered_later_by"] = lowered


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same ratios from fewer seeds, under ten minutes")
    parser.add_argument("--data-dir", type=Path, default=DATA, help="holds MNIST/raw; default: data in the repository")
    parser.add_argument("--prototype", type=Path, help="folder with the prototype's fast.py; default: none")
    parser.add_argument("--seeds", type=int, default=8, help="of ours and, without --quick, of every peer")
    parser.add_argument("--problems", nargs="+", default=["mnist", "big", "synth"], choices=["mnist", "big", "synth"])
    parser.add_argument("--only", nargs="*", default=[""], help="peers whose name holds one of these words")
    return parser.parse_args()


if __name__ == "__main__":
    main()
