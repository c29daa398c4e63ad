"""The contents of Python's containers and arrays, restored in place and only where they have changed.

Each class has an attribute ``children``, the objects that the contents refer to, and a method ``restore()``.
"""

from __future__ import annotations

import operator
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from types import CellType
from typing import Any

import numpy as np

#: What a slot, a cell or an attribute without a value is saved as.
MISSING = object()


class SavedDict:
    """A dictionary's keys, values and their order; the values are kept by identity."""

    def __init__(self, container: dict[Any, Any]) -> None:
        self.container = container
        self.keys = list(container)
        self.children = [dict.__getitem__(container, key) for key in self.keys]

    def restore(self) -> None:
        """Restores keys, values and order."""
        container = self.container
        values = list(dict.values(container))
        if _are_identical(list(container), self.keys) and _are_identical(values, self.children):
            return
        # The methods of the builtin class: a subclass may compute in its own.
        builtin: Any = OrderedDict if isinstance(container, OrderedDict) else dict
        builtin.clear(container)
        for key, value in zip(self.keys, self.children):
            builtin.__setitem__(container, key, value)


class SavedList:
    """A list's entries."""

    def __init__(self, container: list[Any]) -> None:
        self.container = container
        self.children = list.copy(container)

    def restore(self) -> None:
        """Restores the entries."""
        if not _are_identical(self.container, self.children):
            list.__setitem__(self.container, slice(None), self.children)


class SavedSet:
    """A set's entries."""

    def __init__(self, container: set[Any]) -> None:
        self.container = container
        self.children = set(container)

    def restore(self) -> None:
        """Restores the entries."""
        if self.container != self.children:
            set.clear(self.container)
            set.update(self.container, self.children)


class SavedDeque:
    """A deque's entries; its maximal length is constant."""

    def __init__(self, container: deque[Any]) -> None:
        self.container = container
        self.children = list(container)

    def restore(self) -> None:
        """Restores the entries."""
        if not _are_identical(list(self.container), self.children):
            deque.clear(self.container)
            deque.extend(self.container, self.children)


class SavedBytes:
    """The contents of a ``bytearray`` or an ``array.array``."""

    def __init__(self, container: Any) -> None:
        self.container = container
        self.value = container[:]
        self.children: tuple[Any, ...] = ()

    def restore(self) -> None:
        """Restores the contents."""
        if self.container != self.value:
            self.container[:] = self.value


class SavedArray:
    """The values of a numpy array."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.copy = array.copy() if _is_writeable(array) else array
        holds_objects = array.dtype == np.dtype(object)
        self.children: list[Any] = self.copy.ravel().tolist() if holds_objects else []

    def restore(self) -> None:
        """Restores shape and values."""
        if self.copy is self.array:
            return
        if self.array.shape != self.copy.shape:
            self.array.resize(self.copy.shape, refcheck=False)
        if self.array.dtype.hasobject or self.array.tobytes() != self.copy.tobytes():
            if not self.array.flags.writeable:
                return  # nobody can have written to it
            self.array[...] = self.copy


class SavedCell:
    """A variable of a closure."""

    def __init__(self, cell: CellType) -> None:
        self.cell = cell
        self.value = _read_cell(cell)
        self.children = (self.value,)

    def restore(self) -> None:
        """Restores the variable."""
        if _read_cell(self.cell) is self.value:
            return
        if self.value is MISSING:
            del self.cell.cell_contents
        else:
            self.cell.cell_contents = self.value


class SavedAttributes:
    """Some attributes of an object or a class: slots, or attributes that a class shares among its objects.

    Args:
        owner: The object or the class.
        names: Names of the attributes.
        read: ``(owner, name) → value``, or `MISSING`.
    """

    def __init__(self, owner: Any, names: Iterable[str], read: Callable[[Any, str], Any]) -> None:
        self.owner = owner
        self.read = read
        self.values = {name: read(owner, name) for name in names}
        self.children = list(self.values.values())

    def restore(self) -> None:
        """Restores the attributes; one that was missing is removed."""
        for name, value in self.values.items():
            if self.read(self.owner, name) is value:
                continue
            # The setter of `type` or `object`: the user's own, as that of a frozen dataclass, may refuse.
            kind: Any = type if isinstance(self.owner, type) else object
            if value is MISSING:
                kind.__delattr__(self.owner, name)
            else:
                kind.__setattr__(self.owner, name, value)


def _is_writeable(array: np.ndarray[Any, Any]) -> bool:
    """Whether the values can change, also through the array that this one is a view of; not so in a read-only file."""
    part: Any = array
    while isinstance(part, np.ndarray):
        if part.flags.writeable:
            return True
        part = part.base
    return False


def _read_cell(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the variable has no value yet
        return MISSING


def _are_identical(values: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(values) == len(others) and all(map(operator.is_, values, others))
