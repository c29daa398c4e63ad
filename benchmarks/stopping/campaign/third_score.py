"""Scores what was frozen for the third part, on its committed records.

    python -m benchmarks.stopping.campaign.third_score [--records DIR]

Prints the tables, writes them into the topic's README and ``results/``, the most important rows also into the
project's README and `docs/stopping.md`, and ends with the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reporting import Figure, print_figures, write_json, write_section
from benchmarks.stopping.campaign import tables
from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.handed_over import score
from benchmarks.stopping.campaign.tasks import PARTS
from benchmarks.stopping.campaign.third_candidates import (
    ACCURACY_KEPT,
    GAP_CONTROL,
    LOSS,
    PRIMARY,
    SHARE_CONTROL,
    third_candidates,
)
from benchmarks.stopping.make_records import read
from benchmarks.stopping.published_table import write_tables
from benchmarks.stopping.report import Scored, Scores
from benchmarks.stopping.statistics import interval

#: Data sets of the third part that are no images.
NO_IMAGES = ("friedman", "checks", "scanlines", "walks", "motifs")
SPLIT = "clean validation split, patience 10"
BY_REGIME = (PRIMARY, LOSS, ACCURACY_KEPT, SPLIT, f"{SPLIT}, averaged", "last epoch")


def third_scores(folder: Path = RECORDS) -> Scores:
    """Scores every row on the available records of the third part; other records are not opened.

    Args:
        folder: Folder of the derived records.

    Raises:
        SystemExit: There is no record of the part.
    """
    paths = [folder / f"{task.name}-s{task.seeds[0]}.json.gz" for task in PARTS["third"]]
    records = [read(path) for path in paths if path.exists()]
    if not records:
        raise SystemExit(f"--records: no record of the third part in {folder}")
    return Scores(third_candidates(), records, score)


def image_scores(found: Scores) -> Scores:
    """The scores of the image classifiers alone."""
    return found.subset(found.where(lambda task: task["dataset"] not in NO_IMAGES))


def figures(found: Scores, name: str) -> list[Figure]:
    """The figures of the goals for the primary row, against both clocks.

    Args:
        found: The scores.
        name: First part of the figures' names.
    """
    primary = found[PRIMARY]
    result = tables.figures(found, primary, found[GAP_CONTROL], name)
    share = found[SHARE_CONTROL]
    upper = upper_end(found, primary, share)
    return [*result, Figure(f"{name}_upper_end_of_regret_less_fixed_share", upper, 0.0, True)]


def upper_end(found: Scores, row: Scored, other: Scored) -> float:
    """The upper end of the 95 % interval of the mean difference in regret, paired by run."""
    difference: Sequence[float] = [a - b for a, b in zip(row.regrets, other.regrets)]
    return interval(difference, found.weights)[1]


def text(found: Scores) -> str:
    """The section of the benchmark's README."""
    images = image_scores(found)
    n_tasks = len(PARTS["third"])
    split = tables.better_split(found, "clean").candidate.name
    return "\n\n".join(
        [
            "## Stopping without labels, third part: confirmation runs",
            f"`python -m benchmarks.stopping.campaign.third_score`: {len(found.records)} of {n_tasks} tasks, one run "
            "each. Regret, points and intervals as in [`PROTOCOL.md`](campaign/PROTOCOL.md); regret 0 is the run's "
            "best single epoch, which an average may surpass. Averaged: the package's average of the weights up to "
            f"five epochs after the kept one is handed over. The better clean split is here: {split}.",
            tables.main_table(found),
            "The primary row against each, paired by run:",
            tables.paired_table(found, found[PRIMARY]),
            "The same stop for the loss against each, paired by run:",
            tables.paired_table(found, found[LOSS]),
            f"Image classifiers alone, {len(images.records)} runs:",
            tables.main_table(images),
            tables.paired_table(images, images[PRIMARY]),
            "By regime, regret / points lost:",
            tables.regime_table(found, BY_REGIME),
            "Run by run:",
            found.record_table((PRIMARY, ACCURACY_KEPT, SPLIT), heading="run"),
        ]
    )


def report(folder: Path = RECORDS) -> list[Figure]:
    """Scores the part, and writes its section, its JSON and the tables of the pages.

    Returns:
        The figures.
    """
    found = third_scores(folder)
    result = [*figures(found, "third"), *figures(image_scores(found), "third_images")]
    write_section("stopping", "third", text(found))
    write_json("stopping", "third_confirmation", found.payload(), result)
    write_tables(found)
    return result


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    print_figures(report(parser.parse_args().records))


if __name__ == "__main__":
    main()
