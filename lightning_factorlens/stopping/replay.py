"""Replay of rules on recorded series, with the same steps as during training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule


def epoch_infos(
    n: int,
    lrs: Sequence[float] | None = None,
    schedule_known: bool = True,
    metrics: Mapping[str, Sequence[float]] | None = None,
    epochs: Sequence[int] | None = None,
    max_epochs: int | None = None,
) -> list[EpochInfo]:
    """Builds the `EpochInfo` of every measurement of a recorded run that ran to its planned end.

    Args:
        n: Number of measurements.
        lrs: The learning rate at each measurement; None if it was not recorded.
        schedule_known: Whether the schedule was known in advance, as that of a PyTorch scheduler is.
        metrics: Further metrics by name, each with n values.
        epochs: The number of finished epochs at each measurement; None for 1, …, n.
        max_epochs: The number of epochs that the run was planned to have; None for that of the last measurement.

    Returns:
        A list of n entries.

    Raises:
        ValueError: A series has another length than n.

    Example:
        >>> [info.min_future_lr for info in epoch_infos(3, lrs=[0.3, 0.2, 0.1])]
        [0.1, 0.1, inf]
    """
    metrics = metrics or {}
    for name, values in {"lrs": lrs, "epochs": epochs, **metrics}.items():
        if values is not None and len(values) != n:
            raise ValueError(f"{name}: must have one entry for each of the {n} measurements, found {len(values)}.")
    if epochs is None:
        epochs = range(1, n + 1)
    if max_epochs is None and n > 0:
        max_epochs = epochs[-1]
    infos = []
    for i in range(n):
        lr = None
        min_future_lr = None
        if lrs is not None:
            lr = lrs[i]
            if schedule_known:
                min_future_lr = min(lrs[i + 1 :], default=math.inf)
        values_here = {name: values[i] for name, values in metrics.items()}
        infos.append(EpochInfo(epochs[i], lr, min_future_lr, values_here, max_epochs))
    return infos


def replay(rule: Rule, series: Sequence[float], infos: Sequence[EpochInfo] | None = None) -> list[Decision]:
    """Computes the decision after every measurement of a recorded series, without ending at the first stop.

    Args:
        rule: Any rule.
        series: The values of its metric, NaN where a measurement has none.
        infos: The result of `epoch_infos`; None for epochs 1, 2, 3, … with unknown learning rates.

    Returns:
        One decision a value. The run would have ended at the first one with ``stop``, and its ``best_epoch`` would
        have been kept.

    Raises:
        ValueError: The number of infos differs from the number of values.

    Example:
        >>> from lightning_factorlens.stopping import Patience
        >>> [decision.stop for decision in replay(Patience(patience=1), [2.0, 1.0, 3.0, 0.5])]
        [False, False, True, False]
    """
    if infos is None:
        infos = epoch_infos(len(series))
    if len(infos) != len(series):
        raise ValueError(f"infos: must have one entry for each of the {len(series)} values, found {len(infos)}.")
    state = rule.start()
    decisions = []
    for value, info in zip(series, infos):
        state, decision = rule.step(state, value, info)
        decisions.append(decision)
    return decisions
