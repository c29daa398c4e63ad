"""The states of random number generators that a model holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


class SavedGenerator:
    """The state of a random number generator of torch, numpy or Python."""

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        self.write = write
        self.state = read()
        self.children: tuple[Any, ...] = ()

    def restore(self) -> None:
        """Restores the state."""
        self.write(self.state)


def save_generator(value: Any) -> SavedGenerator | None:
    """Saves the state of a random number generator.

    Args:
        value: Any object.

    Returns:
        The saved state; None for an object that is no such generator.

    Example:
        >>> generator = random.Random(0)
        >>> saved, first = save_generator(generator), generator.random()
        >>> saved.restore()
        >>> generator.random() == first, save_generator(0)
        (True, None)
    """
    if isinstance(value, torch.Generator):
        return SavedGenerator(value.get_state, value.set_state)
    if isinstance(value, np.random.Generator):
        value = value.bit_generator
    if isinstance(value, np.random.BitGenerator):
        generator = value

        def write(state: Any) -> None:
            generator.state = state

        return SavedGenerator(lambda: generator.state, write)
    if isinstance(value, np.random.RandomState):
        return SavedGenerator(value.get_state, value.set_state)
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return SavedGenerator(value.getstate, value.setstate)
    return None
