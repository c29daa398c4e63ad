"""What is scored on the third part: one primary row, secondary rows, controls, and validation splits.

"Averaged" means that the package's average of the weights is handed over, up to five epochs after the kept one
(``LabelFreeStopping(restore_best="average")``); the other rows hand over the kept epoch's weights (``True``).
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.stopping.campaign import candidates
from benchmarks.stopping.campaign.handed_over import Averaged, averaged
from benchmarks.stopping.replay import Candidate

PRIMARY = "**target accuracy, averaged**"
LOSS = "target loss, averaged"
ACCURACY_KEPT = "target accuracy, kept epoch"
LOSS_KEPT = "target loss, kept epoch"
GAP_CONTROL = "control: a clock in place of the gap, averaged"
SHARE_CONTROL = "control: a fixed share of the epochs, averaged"
#: The share of the epochs with the lowest mean regret on the 73 runs of the earlier parts, in steps of a tenth.
BEST_SHARE = 0.6


def renamed(candidate: Candidate, name: str) -> Candidate:
    """The same candidate with another name in the tables."""
    return replace(candidate, name=name)


def stops() -> list[Candidate]:
    """The primary row and the secondary ones."""
    loss, accuracy = candidates.chosen()
    return [
        renamed(averaged(accuracy), PRIMARY),
        renamed(averaged(loss), LOSS),
        renamed(accuracy, ACCURACY_KEPT),
        renamed(loss, LOSS_KEPT),
        renamed(averaged(accuracy, "swa"), "target accuracy, plain mean over the later half"),
        renamed(averaged(accuracy, epochs_after=8), "target accuracy, averaged up to 8 epochs after"),
        renamed(averaged(accuracy, epochs_after=0), "target accuracy, averaged up to the kept epoch"),
    ]


def controls() -> list[Candidate]:
    """Clocks in place of the parts of the signal and of the whole, with the average handed over in the same way."""
    base = {"agreement_loss": 1.0, "imbalance": 3.0, "begun": 1.0}
    clock = {**base, "epoch": 0.008, "clock": 1.0, "disagreement": 0.5}
    return [
        renamed(averaged(candidates.ours("", clock)), GAP_CONTROL),
        Averaged(SHARE_CONTROL, "hindsight", BEST_SHARE, epochs_after=0),
        renamed(
            averaged(candidates.ours("", {**base, "memorization_gap": 1.0, "clock": 0.5})),
            "control: a clock in place of the disagreement, averaged",
        ),
        renamed(averaged(candidates.ours("", {**base, "disagreement": 0.5})), "control: without the gap, averaged"),
        renamed(averaged(candidates.ours("", {"consistency": 1.0})), "consistency, plateaus waited for, averaged"),
        renamed(averaged(next(c for c in candidates.ideas() if c.name == candidates.OLD)), "default of 0.1, averaged"),
        next(c for c in candidates.ideas() if c.name == candidates.OLD),
        Averaged("last epoch, averaged", "nothing", "last", epochs_after=0),
    ]


def third_candidates() -> list[Candidate]:
    """All rows; the splits hand over the kept epoch, or the same average around it."""
    splits = candidates.baselines()
    with_average = [averaged(split) for split in splits if split.signal is not None]
    return [*stops(), *controls(), *splits, *with_average]
