"""The parts of learning-rate schedulers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def sub_schedulers(scheduler: Any) -> Sequence[Any]:
    """The schedulers that a ``ChainedScheduler`` or ``SequentialLR`` is made of; none for other schedulers."""
    found: Sequence[Any] = getattr(scheduler, "_schedulers", ())
    return found
