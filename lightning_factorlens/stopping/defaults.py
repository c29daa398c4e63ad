"""The rule and the signal that are taken when nobody names others. Changed only by a benchmark's figures."""

from __future__ import annotations

from lightning_factorlens.stopping.patience import Patience
from lightning_factorlens.stopping.risen import GeneralizationLoss
from lightning_factorlens.stopping.rule import Rule
from lightning_factorlens.stopping.schedule import AfterAnnealing, AfterWarmup
from lightning_factorlens.stopping.smoothed import Smoothed
from lightning_factorlens.stopping.smoothing import Smoothing

#: Consistency of the predictions under small shifts of the probe, with steady labels, and their balance.
DEFAULT_MONITOR = "factorlens/consistency"


def default_rule() -> Rule:
    """Patience of 10 looks on the smoothed signal, aware of the learning rate.

    The first 5 looks do not count: the network still takes everything for the same few classes, in agreement with
    itself. While the learning rate is yet to be annealed the newest look is kept that lies at most a tenth above the
    lowest, and nothing but 5 looks in a row above that stops the run.
    """
    meanwhile = GeneralizationLoss(fraction=0.1, patience=5)
    rule = AfterWarmup(AfterAnnealing(Patience(patience=10), while_waiting=meanwhile), epochs=5)
    return Smoothed(rule, Smoothing(weight=0.5))
