"""What single objects of a model's state hold, and what they refer to."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from types import CellType, FunctionType, MemberDescriptorType
from typing import Any

import numpy as np
from torch import nn

from lightning_factorlens.isolation.saved_generators import save_generator
from lightning_factorlens.isolation.saved_objects import (
    MISSING,
    SavedArray,
    SavedAttributes,
    SavedBytes,
    SavedCell,
    SavedDeque,
    SavedDict,
    SavedList,
    SavedSet,
)

#: The flag of types that were made by a ``class`` statement.
HEAP_TYPE = 1 << 9
#: What the body of a class holds besides attributes that its objects share.
DESCRIPTORS = (property, staticmethod, classmethod, MemberDescriptorType, FunctionType)
#: Types that can be compared by value at once.
NUMBERS = (bool, int, float, complex, str)


class SavedScript:
    """The attributes of a scripted module: numbers, lists, tensors.

    Args:
        module: The module.
        names: Names of its attributes.
    """

    def __init__(self, module: nn.Module, names: Iterable[str]) -> None:
        self.module = module
        self.values = {name: getattr(module, name) for name in names}

    def restore(self) -> None:
        """Sets the attributes that are not certainly unchanged."""
        for name, value in self.values.items():
            current = getattr(self.module, name)
            if current is value or (isinstance(value, NUMBERS) and current == value):
                continue
            setattr(self.module, name, value)


def save_contents(value: Any) -> Any:
    """Saves the contents of a container, an array or a generator.

    Args:
        value: Any object.

    Returns:
        An object with ``children`` and ``restore()``; None for an object of any other kind.

    Example:
        >>> entries = [1, 2]
        >>> saved = save_contents(entries)
        >>> entries.append(3)
        >>> saved.restore()
        >>> entries
        [1, 2]
    """
    for kind, saved_kind in SAVED_KINDS:
        if isinstance(value, kind):
            return saved_kind(value)
    return save_generator(value)


#: Class that saves the objects of a type, or of a subclass.
SAVED_KINDS: tuple[tuple[type, Any], ...] = (
    (dict, SavedDict),
    (list, SavedList),
    (set, SavedSet),
    (deque, SavedDeque),
    (bytearray, SavedBytes),
    (array, SavedBytes),
    (np.ndarray, SavedArray),
    (CellType, SavedCell),
)


def save_class(kind: type) -> SavedAttributes:
    """Saves the attributes that the objects of a class share, such as ``outputs = []`` in its body.

    Args:
        kind: The class.

    Returns:
        The attributes; methods, properties and slots are not among them.

    Example:
        >>> class Net:
        ...     calls = 0
        >>> save_class(Net).values
        {'calls': 0}
    """
    names = []
    for name, value in vars(kind).items():
        is_data = not name.startswith("__") and not isinstance(value, DESCRIPTORS)
        if is_data and not hasattr(type(value), "__get__"):
            names.append(name)
    return SavedAttributes(kind, names, lambda owner, name: vars(owner).get(name, MISSING))


def save_slots(value: Any, kind: type) -> SavedAttributes:
    """Saves the slots that a class gives an object.

    Args:
        value: The object.
        kind: Its class, or one of its bases.

    Returns:
        The slots, also those without a value.

    Example:
        >>> class Point:
        ...     __slots__ = ("x",)
        >>> list(save_slots(Point(), Point).values)
        ['x']
    """
    names = [name for name, slot in vars(kind).items() if isinstance(slot, MemberDescriptorType)]
    return SavedAttributes(value, names, lambda owner, name: getattr(owner, name, MISSING))
