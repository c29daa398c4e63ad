"""What a measurement keeps for the next observation, in the types that checkpoints hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

#: Types of a state that are kept as they are; of a subclass, the plain value.
PLAIN_TYPES: tuple[type, ...] = (bool, int, float, str, bytes)


def copy_state(value: Any) -> Any:
    """A copy in plain types that shares no memory with ``value``: neither weights nor earlier states.

    Args:
        value: Tensors and plain types in dictionaries, lists and tuples.

    Raises:
        TypeError: A value of another type.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {copy_state(key): copy_state(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(copy_state(inner) for inner in value)
    if isinstance(value, list):
        return [copy_state(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    for kind in PLAIN_TYPES:
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    if value is None:
        return None
    raise TypeError(
        f"keep_state: found {value!r} of type {type(value).__name__}; keep tensors, numbers and text in dictionaries, "
        "lists and tuples, since checkpoints are loaded with weights_only."
    )
