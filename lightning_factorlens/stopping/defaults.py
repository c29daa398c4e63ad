"""The rule and the metric that are used if no others are given. They change only with the results of a benchmark."""

from __future__ import annotations

from lightning_factorlens._validation import check_choice
from lightning_factorlens.stopping.generalization_loss import GeneralizationLoss
from lightning_factorlens.stopping.patience import Patience
from lightning_factorlens.stopping.probability_model import TARGETS
from lightning_factorlens.stopping.rule import Rule
from lightning_factorlens.stopping.schedule import AfterAnnealing, AfterWarmup
from lightning_factorlens.stopping.smoothing import Smoothed, Smoothing

#: Consistency of the predictions under small shifts of the probe, with temporally averaged pseudo-labels, plus the
#: imbalance of the mean prediction.
DEFAULT_MONITOR = "factorlens/consistency"


def default_rule(target: str = "loss") -> Rule:
    """Returns the default rule: patience of 10 measurements on the smoothed metric, aware of the learning rate.

    The first 5 epochs do not count: at that time the network predicts the same few classes for all inputs, and its
    predictions are consistent for that reason. While the learning rate is still to be annealed, the newest measurement
    that lies at most 10% above the lowest one counts as the best, and only 5 measurements in a row above that stop the
    run.

    Args:
        target: ``"loss"`` or ``"accuracy"``: what the epoch that is kept should be best in.

    Raises:
        ValueError: Another target.

    Example:
        >>> from lightning_factorlens.stopping import default_rule, replay
        >>> falling = [1.0 - 0.01 * epoch for epoch in range(20)]
        >>> decisions = replay(default_rule(), falling + [0.9] * 12)
        >>> decisions[-1].stop, decisions[-1].best_epoch
        (True, 20)
    """
    check_choice("target", target, TARGETS)
    while_waiting = GeneralizationLoss(fraction=0.1, patience=5)
    rule = AfterWarmup(AfterAnnealing(Patience(patience=10), while_waiting=while_waiting), epochs=5)
    return Smoothed(rule, Smoothing(weight=0.5))
