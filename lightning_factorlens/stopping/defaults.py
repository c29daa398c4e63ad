"""The rule and the signal that are taken when nobody names others. Changed only by a benchmark's figures."""

from __future__ import annotations

from lightning_factorlens.stopping.patience import Patience
from lightning_factorlens.stopping.rule import Rule
from lightning_factorlens.stopping.schedule import AwaitAnneal
from lightning_factorlens.stopping.smoothing import STEADY

#: Consistency of the predictions under small shifts of the probe.
DEFAULT_SIGNAL = "factorlens/consistency"


def default_rule() -> Rule:
    """Patience of 5 looks on the smoothed signal, which begins once the learning rate has been annealed."""
    return AwaitAnneal(Patience(patience=5, smoothing=STEADY))
