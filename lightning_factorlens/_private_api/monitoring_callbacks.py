"""When lightning's ``ModelCheckpoint`` and ``EarlyStopping`` act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def save_on_train_epoch_end_method(callback: Any) -> Callable[[Any], bool] | None:
    """The method of ``ModelCheckpoint`` that returns, for a trainer, whether it saves when the training epoch ends.

    Returns:
        The bound method; None for a callback of another kind.
    """
    found: Callable[[Any], bool] | None = getattr(callback, "_should_save_on_train_epoch_end", None)
    return found


def checks_on_train_epoch_end(callback: Any) -> bool | None:
    """Whether an ``EarlyStopping`` checks when the training epoch ends; None before it has decided.

    Returns:
        True for a callback of another kind.
    """
    found: bool | None = getattr(callback, "_check_on_train_epoch_end", True)
    return found


def saves_by_steps(callback: Any) -> bool:
    """Whether a ``ModelCheckpoint`` saves after some training steps or some time; False for other callbacks."""
    by_steps = getattr(callback, "_every_n_train_steps", 0) > 0
    return by_steps or getattr(callback, "_train_time_interval", None) is not None
