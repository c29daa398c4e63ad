"""Scores the rules of the second campaign on its committed records.

    python -m benchmarks.stopping.campaign.score [--part development|confirmation|all] [--records DIR]

Prints the tables, writes them into the topic's README and ``results/``, and ends with the figures. Confirmation records
were scored once, after the commit that froze the rules (`PROTOCOL.md`). The third part has a module of its own
(`third_score`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.reporting import Figure, print_figures, write_json, write_section
from benchmarks.stopping.campaign import candidates, tables
from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.tasks import CONFIRMATION, DEVELOPMENT
from benchmarks.stopping.make_records import read
from benchmarks.stopping.report import Scores

PARTS = {"development": DEVELOPMENT, "confirmation": CONFIRMATION}
SIDE_BY_SIDE = (candidates.DEFAULT, candidates.OLD, "clean validation split, patience 10")
#: Data sets of images with one class each: what the package's default can be applied to.
IMAGES = ("mnist", "cifar10")
BY_REGIME = (*SIDE_BY_SIDE, candidates.ACCURACY, "noisy validation split, patience 10", "last epoch")


def scores(part: str, folder: Path, images_only: bool = False) -> Scores:
    """Scores every candidate on the available records of a part; records of the other part are not opened.

    Args:
        part: A key of `PARTS`.
        folder: Folder of the derived records.
        images_only: Whether to leave out what is no classification of images, which the package's default refuses.

    Raises:
        SystemExit: There is no record of the part.
    """
    records = []
    for task in PARTS[part]:
        if images_only and task.dataset not in IMAGES:
            continue
        for seed in task.seeds:
            path = folder / f"{task.name}-s{seed}.json.gz"
            if path.exists():
                records.append(read(path))
    if not records:
        raise SystemExit(f"--records: no {part} record in {folder}; make them with benchmarks.stopping.campaign.run")
    return Scores(candidates.candidates(), records)


def text(part: str, found: Scores, images: Scores) -> str:
    """The section of the README."""
    n_tasks = len({task["name"] for task in found.tasks})
    split = tables.better_split(found, "clean").candidate.name
    return "\n\n".join(
        [
            f"## Stopping without labels, second campaign: {part} runs",
            f"`python -m benchmarks.stopping.campaign.score --part {part}`: {len(found.records)} runs of {n_tasks} of "
            f"{len(PARTS[part])} tasks. Regret, points and intervals as in [`PROTOCOL.md`](campaign/PROTOCOL.md). "
            f"The better clean split is here: {split}.",
            tables.main_table(found),
            "The default for the loss against each, paired by run:",
            tables.paired_table(found, found[candidates.DEFAULT]),
            "The default for the accuracy against each, paired by run:",
            tables.paired_table(found, found[candidates.ACCURACY]),
            f"Image classifiers alone, {len(images.records)} runs: those to which the package's default applies. "
            "For the others, the signals were computed from the perturbations that fit their inputs, and the package "
            "refuses to stop them without being told a monitor.",
            tables.main_table(images),
            tables.paired_table(images, images[candidates.DEFAULT]),
            "By regime, regret / points lost:",
            tables.regime_table(found, BY_REGIME),
            "Run by run:",
            found.record_table(SIDE_BY_SIDE, heading="run"),
        ]
    )


def report(part: str, folder: Path) -> list[Figure]:
    """Scores a part, and writes its section and its JSON.

    Returns:
        The figures.
    """
    found = scores(part, folder)
    images = scores(part, folder, images_only=True)
    figures = []
    for name, of_runs in ((f"second_{part}", found), (f"second_{part}_images", images)):
        control = of_runs[candidates.GAP_CONTROL]
        figures += tables.figures(of_runs, of_runs[candidates.DEFAULT], control, name)
    write_section("stopping", f"second_{part}", text(part, found, images))
    write_json("stopping", f"second_{part}", found.payload(), figures)
    return figures


def report_committed() -> None:
    """Scores both parts on the committed records and prints the figures."""
    figures = [figure for part in PARTS for figure in report(part, RECORDS)]
    print_figures(figures)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=(*PARTS, "all"), default="development")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    parts = tuple(PARTS) if args.part == "all" else (args.part,)
    print_figures([figure for part in parts for figure in report(part, args.records)])


if __name__ == "__main__":
    main()
