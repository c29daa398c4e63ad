"""Scores what is handed over at a stop: the weights of the kept epoch, or an average of the weights around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.stopping.campaign.average_series import average_of
from benchmarks.stopping.replay import LEAST, PREMATURE, Candidate, Outcome, Record, decide, outcome

#: Epochs after the kept one that the average of the package includes.
EPOCHS_AFTER = 5


@dataclass(frozen=True)
class Averaged(Candidate):
    """A rule after whose decision an average of the weights is handed over.

    Attributes:
        average: ``"polynomial"``, the package's, or ``"swa"``, the plain mean over the later half of the epochs.
        epochs_after: Epochs after the kept one that belong to the average; those after the stop never do.
    """

    average: str = "polynomial"
    epochs_after: int = EPOCHS_AFTER


def averaged(candidate: Candidate, average: str = "polynomial", epochs_after: int = EPOCHS_AFTER) -> Averaged:
    """The same rule, with an average handed over.

    Args:
        candidate: A rule.
        average: As in `Averaged`.
        epochs_after: As in `Averaged`.
    """
    fields = {name: getattr(candidate, name) for name in ("needs", "rule", "signal", "planned", "ours")}
    return Averaged(f"{candidate.name}, averaged", average=average, epochs_after=epochs_after, **fields)


def score(candidate: Candidate, record: Record) -> Outcome:
    """The measures of the protocol for what the candidate hands over.

    Regret 0 and no points lost are the run's best single epoch, which an average may surpass.

    Args:
        candidate: A rule, or one with an average.
        record: A derived record; with the entry ``averages`` for a rule with an average.
    """
    kept = outcome(candidate, record)
    if not isinstance(candidate, Averaged):
        return kept
    loss = record["hidden"]["test_loss"]
    accuracy = record["hidden"]["test_accuracy"]
    epochs, stop = decide(candidate, record)
    [chosen] = epochs
    last = min(stop, chosen + candidate.epochs_after)
    series = average_of(record, candidate.average)
    found_accuracy = series["test_accuracy"][last - 1]
    return Outcome(
        chosen=kept.chosen,
        stop=stop,
        regret=(series["test_loss"][last - 1] - min(loss)) / max(mean(loss) - min(loss), LEAST),
        points=100 * (max(accuracy) - found_accuracy),
        last_regret=kept.last_regret,
        last_points=kept.last_points,
        below_last=100 * (accuracy[-1] - found_accuracy),
        saved=kept.saved,
        premature=is_premature(found_accuracy, accuracy, stop),
    )


def is_premature(found_accuracy: float, accuracy: Sequence[float], stop: int) -> bool:
    """Whether training stopped before its end and over one point below the mean of its last three epochs.

    Args:
        found_accuracy: Accuracy of what is handed over.
        accuracy: Hidden test accuracy of every epoch.
        stop: The epoch after which training ended.
    """
    return stop < len(accuracy) and found_accuracy < mean(accuracy[-3:]) - PREMATURE - 1e-9
