"""Describes the runs by their training and hidden test curves alone: whether they are what their task was meant to be.

    python -m benchmarks.stopping.campaign.quality --raw RAW

It is safe for confirmation runs: it computes no signal and no rule.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.stopping.campaign.raw import RawRun, load
from benchmarks.stopping.replay import LEAST

#: Rise of the test loss over its lowest, as a fraction, above which a run overfits.
OVERFIT = 0.1
#: Accuracy above chance that a run must reach.
LEARNED = 0.1


@dataclass(frozen=True)
class Quality:
    """The curves of a run in numbers.

    Attributes:
        best_epoch: The epoch with the lowest test loss.
        best_loss: That loss.
        last_loss: The test loss at the end.
        best_accuracy: The highest test accuracy.
        last_accuracy: The mean test accuracy of the last three epochs.
        train_accuracy: The training accuracy of the last epoch.
        spread: Mean test loss less the lowest, the unit of regret.
        remarks: What is unlike the task's intention.
    """

    best_epoch: int
    best_loss: float
    last_loss: float
    best_accuracy: float
    last_accuracy: float
    train_accuracy: float
    spread: float
    remarks: tuple[str, ...]

    @property
    def overfits(self) -> bool:
        """Whether the test loss ends more than a tenth above its lowest."""
        return self.last_loss > (1 + OVERFIT) * self.best_loss


def quality(run: RawRun) -> Quality:
    """The numbers of a run."""
    loss, accuracy = run.hidden_test_loss, run.hidden_test_accuracy
    best = int(np.argmin(loss))
    found = Quality(
        best_epoch=best + 1,
        best_loss=float(loss[best]),
        last_loss=float(loss[-1]),
        best_accuracy=float(accuracy.max()),
        last_accuracy=float(accuracy[-3:].mean()),
        train_accuracy=float(run.train_accuracy[-1]),
        spread=float(loss.mean() - loss[best]),
        remarks=(),
    )
    return Quality(**{**vars(found), "remarks": tuple(_remarks(run, found))})


def _remarks(run: RawRun, found: Quality) -> list[str]:
    remarks = []
    if not np.isfinite(run.hidden_test_loss).all():
        remarks.append("a test loss is not finite")
    if found.spread < LEAST:
        remarks.append("the test loss hardly moves")
    classes = run.probe_logits.shape[2]
    chance = 1 / classes if run.task.kind == "classes" else 0.0
    if found.best_accuracy < chance + LEARNED:
        remarks.append("learns little")
    if run.task.healthy and found.overfits:
        remarks.append("meant to be healthy, overfits")
    return remarks


def table(runs: list[RawRun]) -> str:
    """The runs as a Markdown table."""
    lines = [
        "| run | regime | epochs | seconds | best loss (epoch) | last loss | best accuracy | last accuracy | "
        "training accuracy | kind | remarks |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        found = quality(run)
        kind = "healthy" if run.task.healthy else ("overfits" if found.overfits else "does not overfit")
        cells = [
            run.name,
            run.task.regime,
            str(run.epochs),
            f"{run.seconds.sum():.0f}",
            f"{found.best_loss:.3f} ({found.best_epoch})",
            f"{found.last_loss:.3f}",
            f"{100 * found.best_accuracy:.1f}",
            f"{100 * found.last_accuracy:.1f}",
            f"{100 * found.train_accuracy:.1f}",
            kind,
            "; ".join(found.remarks),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="folders of the raw files")
    args = parser.parse_args()
    runs = [load(path) for folder in args.raw for path in sorted(folder.glob("*.npz"))]
    print(table(runs))


if __name__ == "__main__":
    main()
