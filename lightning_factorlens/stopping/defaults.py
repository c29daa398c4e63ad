"""The rule and the metric that are used if no others are given. They change only with the results of a benchmark."""

from __future__ import annotations

from lightning_factorlens._validation import check_choice
from lightning_factorlens.stopping.generalization_loss import GeneralizationLoss
from lightning_factorlens.stopping.patience import Patience
from lightning_factorlens.stopping.probability_model import TARGETS
from lightning_factorlens.stopping.rule import Rule
from lightning_factorlens.stopping.schedule import AfterAnnealing, AfterWarmup
from lightning_factorlens.stopping.scheduled_patience import ScheduledPatience
from lightning_factorlens.stopping.smoothing import Smoothed, Smoothing

#: The signals of `lightning_factorlens.metrics.stop_signal`, by what the epoch that is kept should be best in.
DEFAULT_MONITORS = {"loss": "factorlens/loss_signal", "accuracy": "factorlens/accuracy_signal"}
DEFAULT_MONITOR = DEFAULT_MONITORS["accuracy"]


def default_monitor(target: str = "accuracy") -> str:
    """Returns the metric that the default rule was tested on.

    Args:
        target: ``"accuracy"`` or ``"loss"``: what the epoch that is kept should be best in. The accuracy is the default
            because its metric was the better stop for the test loss, too: on the confirmation runs of the third part of
            ``benchmarks/stopping``, with averaged weights, its regret in test loss was 0.19 against 0.20, and it
            stopped none of 17 healthy runs early against two.

    Raises:
        ValueError: Another target.

    Example:
        >>> default_monitor(), default_monitor("loss")
        ('factorlens/accuracy_signal', 'factorlens/loss_signal')
    """
    check_choice("target", target, TARGETS)
    return DEFAULT_MONITORS[target]


def default_rule(target: str = "accuracy") -> Rule:
    """Returns the default rule: the lowest smoothed value, and a patience of 10 that rests on planned plateaus.

    The first 5 epochs do not count: at that time the network predicts the same few classes for all inputs. While the
    learning rate stands still before a planned fall, or has been raised and is to come down again, no measurement
    counts towards the patience (`ScheduledPatience`).

    Args:
        target: ``"accuracy"`` or ``"loss"``: what the epoch that is kept should be best in. The rule is the same for
            both, its metric is not: see `default_monitor`, which also says why the accuracy is the default.

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
    return Smoothed(AfterWarmup(ScheduledPatience(patience=10), epochs=5), Smoothing(weight=0.5))


def annealing_rule() -> Rule:
    """Returns the default rule of version 0.1, which belongs to ``monitor="factorlens/consistency"``.

    It keeps the lowest smoothed value after 5 epochs, with a patience of 10. While the learning rate is still to be
    annealed, the newest measurement that lies at most 10% above the lowest one counts as the best, and only 5
    measurements in a row above that stop the run.

    Example:
        >>> from lightning_factorlens import LabelFreeStopping
        >>> stopping = LabelFreeStopping(monitor="factorlens/consistency", rule=annealing_rule())
    """
    while_waiting = GeneralizationLoss(fraction=0.1, patience=5)
    rule = AfterWarmup(AfterAnnealing(Patience(patience=10), while_waiting=while_waiting), epochs=5)
    return Smoothed(rule, Smoothing(weight=0.5))
