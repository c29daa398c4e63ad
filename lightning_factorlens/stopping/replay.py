"""Rules over recorded series: the same steps as during training, in no time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule


def epoch_infos(
    n: int,
    rates: Sequence[float] | None = None,
    planned: bool = True,
    others: Mapping[str, Sequence[float]] | None = None,
    epochs: Sequence[int] | None = None,
) -> list[EpochInfo]:
    """The looks of a recorded run that ran to its planned end.

    Args:
        n: How many.
        rates: The learning rate at each; None where it was not recorded.
        planned: Whether the schedule was known beforehand, as that of a stock scheduler is.
        others: Further signals by name, each of n values.
        epochs: Epochs finished at each, from 1 unless given.

    Returns:
        One `Look` a value.

    Raises:
        ValueError: A series of another length.
    """
    series = {"rates": rates, "epochs": epochs, **(others or {})}
    for name, values in series.items():
        if values is not None and len(values) != n:
            raise ValueError(f"{name}: must have one entry for each of the {n} looks, found {len(values)}.")
    epochs = range(1, n + 1) if epochs is None else epochs
    ahead: list[float | None] = [None] * n
    if rates is not None and planned:
        ahead = [min(rates[t + 1 :], default=math.inf) for t in range(n)]
    return [
        EpochInfo(
            epoch=epochs[t],
            lr=None if rates is None else rates[t],
            min_future_lr=ahead[t],
            horizon=epochs[-1],
            values={name: values[t] for name, values in (others or {}).items()},
        )
        for t in range(n)
    ]


def replay(rule: Rule, series: Sequence[float], looks: Sequence[EpochInfo] | None = None) -> list[Decision]:
    """The verdict at every look, as if no stop had been obeyed.

    Args:
        rule: Any rule.
        series: Its signal, NaN where a look has none.
        looks: From `looks_of`; epochs 1, 2, 3, … without rates unless given.

    Returns:
        One verdict a value. The run would have ended at the first with ``stop``, keeping its ``best_epoch``.

    Raises:
        ValueError: Not as many looks as values.
    """
    looks = epoch_infos(len(series)) if looks is None else looks
    if len(looks) != len(series):
        raise ValueError(f"looks: must be as many as the series' {len(series)} values, found {len(looks)}.")
    state, verdicts = rule.start(), []
    for value, look in zip(series, looks):
        state, verdict = rule.step(state, value, look)
        verdicts.append(verdict)
    return verdicts
