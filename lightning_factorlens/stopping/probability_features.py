"""What the series of a stop signal shows online: the inputs of the probability that the best epoch is past."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lightning_factorlens.stopping.rule import EpochInfo, State
from lightning_factorlens.stopping.smoothing import Smoothing

#: The features in their order. `SINCE`, `RISE` and `SHARE` speak for a best epoch that is past, `FALL` against it.
SINCE = "since"
RISE = "rise"
SHARE = "share"
FALL = "fall"
FEATURES = (SINCE, RISE, SHARE, FALL)
#: Epochs whose values do not count, as in the default rule.
WARMUP_EPOCHS = 5
#: The smoothing of the signal, as in the default rule.
SMOOTHING = Smoothing(weight=0.5)
#: Weight of the newest change in the mean that is called jitter.
JITTER_WEIGHT = 0.1
#: The smallest jitter, as a fraction of the smoothed value, so that a series without noise has finite features.
LEAST_JITTER = 1e-3


@dataclass(frozen=True)
class SeriesFeatures:
    """Computes the features of a series, one measurement after the other.

    With the smoothed value s_t, its lowest value m after the first `WARMUP_EPOCHS` epochs and the jitter j (an
    exponentially weighted mean of |c_t − c_{t−1}| over the unsmoothed values c), the features are:

    - ``since``: log(1 + number of measurements since the lowest smoothed value)
    - ``rise``: log(1 + (s_t − m) / j)
    - ``share``: finished epochs divided by the planned number of epochs; absent if that number is unknown
    - ``fall``: powers of ten by which the learning rate is still to fall, at most 1; 0 if the schedule is unknown

    Example:
        >>> from lightning_factorlens.stopping import EpochInfo
        >>> features = SeriesFeatures()
        >>> state = features.start()
        >>> for epoch, value in enumerate([2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 1.8, 1.6], start=1):
        ...     state, found = features.step(state, value, EpochInfo(epoch, max_epochs=10))
        >>> {name: round(value, 2) for name, value in found.items()}
        {'since': 1.1, 'rise': 0.81, 'share': 0.8, 'fall': 0.0}
    """

    def start(self) -> State:
        """Returns the state before the first measurement."""
        return {
            "smoothing": SMOOTHING.start(),
            "lowest": math.inf,
            "n_since": 0,
            "last": None,
            "jitter": 0.0,
            "n_changes": 0,
        }

    def step(self, state: State, value: float, info: EpochInfo) -> tuple[State, Mapping[str, float]]:
        """Processes one measurement.

        Args:
            state: The state from `start` or from the previous step. It is not modified.
            value: The value of the signal, a finite number; lower is better.
            info: The epoch, its learning rate, and what is known of the schedule and the length of the training.

        Returns:
            The new state and the features by name.
        """
        smoothing_state, score = SMOOTHING.step(state["smoothing"], value)
        lowest = state["lowest"]
        n_since = state["n_since"] + 1
        if info.epoch <= WARMUP_EPOCHS or score < lowest:
            lowest = score
            n_since = 0
        state = {**state, **_jitter(state, value)}
        state = {**state, "smoothing": smoothing_state, "lowest": lowest, "n_since": n_since, "last": value}
        jitter = max(state["jitter"], LEAST_JITTER * abs(score))
        rise = (score - lowest) / jitter if jitter else 0.0
        features = {SINCE: math.log1p(n_since), RISE: math.log1p(rise), FALL: coming_fall(info)}
        if info.max_epochs is not None and info.max_epochs > 0:  # a Trainer's −1 stands for no limit
            features[SHARE] = min(1.0, info.epoch / info.max_epochs)
        return state, {name: features[name] for name in FEATURES if name in features}


def coming_fall(info: EpochInfo) -> float:
    """The powers of ten by which the learning rate is still to fall, between 0 and 1.

    Args:
        info: A measurement; 0 is returned where its rates are unknown.

    Example:
        >>> coming_fall(EpochInfo(3, lr=0.1, min_future_lr=0.05)), coming_fall(EpochInfo(3))
        (0.3010299956639812, 0.0)
    """
    lr = info.lr
    lowest = info.min_future_lr
    if lr is None or lowest is None or not 0 <= lowest < lr < math.inf:
        return 0.0
    if lowest == 0:
        return 1.0
    return min(1.0, math.log10(lr / lowest))


def _jitter(state: State, value: float) -> State:
    """The part of the new state that holds the mean change from one value to the next."""
    if state["last"] is None:
        return {}
    n_changes = state["n_changes"] + 1
    weight = max(JITTER_WEIGHT, 1 / n_changes)
    change = abs(value - state["last"])
    return {"n_changes": n_changes, "jitter": (1 - weight) * state["jitter"] + weight * change}
