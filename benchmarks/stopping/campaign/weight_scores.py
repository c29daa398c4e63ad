"""What a rule decides on a raw run, and what weights that are handed over cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.stopping.campaign.raw import RawRun
from benchmarks.stopping.replay import CAP, LEAST
from lightning_factorlens.stopping import Rule, epoch_infos, replay


@dataclass(frozen=True)
class Score:
    """What some weights cost, relative to the run's best single epoch, which averages may surpass.

    Attributes:
        regret: (loss − lowest loss) / (mean loss − lowest loss), as in the first study's `PROTOCOL.md`, at most `CAP`.
        points: Points of accuracy lost.
    """

    regret: float
    points: float


def decide_on(run: RawRun, rule: Rule, values: np.ndarray) -> tuple[int, int]:
    """The epoch that a rule keeps and the one after which it stops, which may be the last.

    Args:
        run: The run.
        rule: The rule.
        values: The series that it reads.
    """
    decisions = replay(rule, values.tolist(), epoch_infos(run.epochs, run.learning_rate.tolist()))
    last = next((t for t, decision in enumerate(decisions, start=1) if decision.stop), run.epochs)
    return decisions[last - 1].best_epoch or last, last


def score_of(run: RawRun, loss: float, accuracy: float) -> Score:
    """The score of weights from their hidden test loss and accuracy.

    Args:
        run: The run.
        loss: Hidden test loss.
        accuracy: Hidden test accuracy.
    """
    lowest = float(np.min(run.hidden_test_loss))
    scale = max(float(np.mean(run.hidden_test_loss)) - lowest, LEAST)
    points = 100 * (float(np.max(run.hidden_test_accuracy)) - accuracy)
    return Score(min(CAP, (loss - lowest) / scale), points)
