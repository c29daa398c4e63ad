"""The first figure of a run, with what the default stopping rule would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.measurements.base import FigureSpec
from lightning_factorlens.plots.dashboard import dashboard_figure
from lightning_factorlens.results import Observation
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.results.leading_scalar import CONSISTENCY, LeadingScalar, LeadingSeries
from lightning_factorlens.stopping import (
    Rule,
    annealing_rule,
    default_monitor,
    default_rule,
    epoch_infos,
    replay,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def default_advice(history: Sequence[Observation]) -> StopAdvice | None:
    """What the default rule of `LabelFreeStopping` would have decided about a run of a constant learning rate.

    The history holds no learning rates, which the rule waits for where they are annealed. Where it holds none of the
    rule's own signal, as histories of version 0.1, the rule of that version is applied to the consistency. Nor does it
    hold the planned number of epochs, without which there is no probability that the best epoch lies behind.

    Args:
        history: The observations of one run, oldest first. Of several in an epoch the last counts, as for the callback.

    Returns:
        The advice; None before the first value of either signal after training has begun.

    Example:
        >>> from lightning_factorlens.results import Scalars
        >>> values = [2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.9] + [1.2] * 12
        >>> history = []
        >>> for epoch, value in enumerate(values, start=1):
        ...     history.append(Observation(epoch, 10 * epoch, {"consistency": Scalars({"consistency": value})}))
        >>> advice = default_advice(history)
        >>> advice.source, advice.best_epoch, advice.stop_epoch
        ('default rule', 7, 17)
    """
    quantity = default_monitor().partition("/")[2]
    series = LeadingSeries.of(history, LeadingScalar(quantity))
    if series.values:
        return _advice(series, default_rule())
    return _advice(LeadingSeries.of(history, CONSISTENCY), annealing_rule())


def _advice(series: LeadingSeries, rule: Rule) -> StopAdvice | None:
    value_of = {observation.epoch: value for observation, value in zip(series.observations, series.values)}
    if not value_of:
        return None
    decisions = replay(rule, list(value_of.values()), epoch_infos(len(value_of), epochs=list(value_of)))
    for epoch, decision in zip(value_of, decisions):
        if decision.stop:
            return StopAdvice("default rule", decision.best_epoch, epoch)
    last = decisions[-1]
    return StopAdvice("default rule", last.best_epoch, None)


def _draw(history: Sequence[Observation], advice: StopAdvice | None = None) -> Figure | None:
    has_decided = advice is not None and advice.best_epoch is not None
    return dashboard_figure(history, advice if has_decided else default_advice(history))


#: TensorBoard sorts the groups of its first page by their names, capital letters first: before Lightning's "epoch".
DASHBOARD = FigureSpec(
    "dashboard",
    _draw,
    "Is the network still learning, is it memorising, and when is it time to stop? The last answer is that of the "
    "run's LabelFreeStopping; without one, that of its default rule at a constant learning rate. The diamond marks the "
    "lowest consistency, the area a rise above it by more than a tenth, the dashed line the stop.",
    needs_tensors=False,
    takes_advice=True,
    tag="Dashboard/{prefix}",
)
