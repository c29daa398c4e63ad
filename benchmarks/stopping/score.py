"""Scores stopping rules on the committed records, in seconds.

    python -m benchmarks.stopping.score [--part dev|confirm|all] [--records DIR]

Prints the tables, writes them into the topic's README and ``results/``, and ends with the figures. Development records
serve for choosing rules and their defaults, and are scored by default; confirmation records are opened only with
``--part confirm`` or ``all``, after the rule was frozen by a commit (`PROTOCOL.md`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.reporting import Figure, print_figures, write_json, write_section
from benchmarks.stopping.candidates import baselines, default, relatives, stock
from benchmarks.stopping.replay import RECORDS, best_fixed, load
from benchmarks.stopping.report import Scores
from benchmarks.stopping.tasks import CONFIRMATION, DEVELOPMENT

FULL = {"dev": ("development", DEVELOPMENT), "confirm": ("confirmation", CONFIRMATION)}
SIDE_BY_SIDE = ("**default**", "clean validation split, patience 5", "last epoch")


def scores(part: str, folder: Path) -> Scores:
    """Scores everything that the protocol names, on the available records of a part.

    Args:
        part: ``"dev"`` or ``"confirm"``.
        folder: Folder of the derived records.

    Raises:
        SystemExit: There is no record of the part.
    """
    records = load(folder, part)
    if not records:
        raise SystemExit(f"--records: no {FULL[part][0]} record in {folder}; make them with benchmarks.stopping.record")
    return Scores([default(), *relatives(), stock(), *baselines(), best_fixed(records)], records)


def text(part: str, found: Scores) -> str:
    """The section of the README."""
    name, tasks = FULL[part]
    planned = sum(len(t.seeds) for t in tasks)
    return "\n\n".join(
        [
            f"## Stopping without labels: {name} records",
            f"`python -m benchmarks.stopping.score --part {part}`: {len(found.records)} of {planned} records, of "
            f"{len({t['name'] for t in found.tasks})} of {len(tasks)} tasks. Regret: 0 is the run's best test loss, 1 "
            "that of a random epoch; means over regrets capped at 10, the worst uncapped. Intervals: bootstrap over "
            "tasks, then records. `sees`: what a rule needs besides the network; rules that see labels or use "
            "hindsight are there for comparison. Regret, worst and points lost are those of the kept epoch; `last "
            "weights` are those at the stop, which a run without a checkpoint ends with. Definitions: "
            "[`PROTOCOL.md`](PROTOCOL.md).",
            found.main_table(),
            "The default against each, paired by record:",
            found.paired_table(),
            "By kind of task (records): mean regret / points lost.",
            found.breakdown_table(),
            "Record by record:",
            found.record_table(SIDE_BY_SIDE),
        ]
    )


def report(part: str, folder: Path) -> list[Figure]:
    """Scores a part, and writes its section and its JSON.

    Returns:
        The figures.
    """
    found = scores(part, folder)
    name = FULL[part][0]
    figures = found.figures(name)
    write_section("stopping", name, text(part, found))
    write_json("stopping", name, found.payload(), figures)
    return figures


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("dev", "confirm", "all"), default="dev")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    parts = ("dev", "confirm") if args.part == "all" else (args.part,)
    figures = [figure for part in parts for figure in report(part, args.records)]
    print_figures(figures)


if __name__ == "__main__":
    main()
