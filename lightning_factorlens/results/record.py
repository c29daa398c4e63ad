"""The result of one measurement: a record of numbers, and the numbers one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

R = TypeVar("R", bound="Record")
T = TypeVar("T")
#: Scopes that are no block or layer.
NETWORK_SCOPES = ("total", "inputs", "activations")


@dataclass(frozen=True)
class Value:
    """One number of a record.

    Attributes:
        quantity: Name of the quantity, e.g. ``"rel_error"``.
        value: The number; NaN where it could not be computed.
        scope: The part it belongs to: ``"total"``, ``"inputs"``, ``"activations"``, the name of a block or of a layer.
            None where it belongs to the whole observation.
        rank: Rank of the factorisation that it belongs to; None where no rank is involved.
    """

    quantity: str
    value: float
    scope: str | None = None
    rank: int | None = None

    def __post_init__(self) -> None:
        # A tensor would keep its graph alive, and checkpoints and JSON have no form for numpy's numbers.
        object.__setattr__(self, "value", _plain_number(self.value))


@dataclass(frozen=True)
class Record:
    """Base class of what a measurement returns. Records are frozen dataclasses that compute nothing.

    Example:
        >>> @dataclass(frozen=True)
        ... class Drift(Record):
        ...     mean: float
        ...     largest: float
        >>> [(value.quantity, value.value) for value in Drift(0.5, 2.0).values()]
        [('mean', 0.5), ('largest', 2.0)]
    """

    def values(self) -> Iterator[Value]:
        """Every number of the record: by default its fields that are plain numbers, under their own names."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (Real, np.bool_)):
                yield Value(field.name, float(value))

    def without_tensors(self: R) -> R:
        """A copy without large tensors, for histories; by default the record itself."""
        return self

    def condensed(self: R) -> R:
        """A copy whose size does not grow with the number of layers, for checkpoints; by default `without_tensors`.

        What figures over epochs, tables and summaries read of past observations must remain.
        """
        return self.without_tensors()


@dataclass(frozen=True)
class Scalars(Record):
    """Plain numbers by name; the dictionary that a measurement may return is converted to such a record.

    Attributes:
        numbers: Value by quantity.
    """

    numbers: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", _plain(self.numbers))

    def __getitem__(self, quantity: str) -> float:
        return self.numbers[quantity]

    def values(self) -> Iterator[Value]:
        """One value for each entry."""
        for quantity, value in self.numbers.items():
            yield Value(quantity, value)


@dataclass(frozen=True)
class ScopedScalar(Record):
    """One quantity of several parts of an observation.

    Attributes:
        quantity: Name of the quantity.
        by_scope: Value by scope: ``"total"``, ``"inputs"``, ``"activations"`` and then the name of every block.
    """

    quantity: str
    by_scope: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_scope", _plain(self.by_scope))

    def __getitem__(self, scope: str) -> float:
        return self.by_scope[scope]

    def values(self) -> Iterator[Value]:
        """One value for each scope."""
        for scope, value in self.by_scope.items():
            yield Value(self.quantity, value, scope)

    def condensed(self) -> ScopedScalar:
        """A copy with `NETWORK_SCOPES` alone, where there is one of the whole network."""
        return ScopedScalar(self.quantity, network_scopes(self.by_scope))


def network_scopes(by_scope: Mapping[str, T]) -> dict[str, T]:
    """The entries of `NETWORK_SCOPES`; all entries where there is none of the whole network.

    Args:
        by_scope: Anything by scope.

    Example:
        >>> network_scopes({"total": 1, "inputs": 2, "layer1": 3}), network_scopes({"cats": 4})
        ({'total': 1, 'inputs': 2}, {'cats': 4})
    """
    if "total" not in by_scope:
        return dict(by_scope)
    return {scope: by_scope[scope] for scope in NETWORK_SCOPES if scope in by_scope}


def is_input_block(scope: str) -> bool:
    """Whether a scope is a block of the input, such as one channel of it, rather than a layer.

    Args:
        scope: The name of a block.

    Example:
        >>> is_input_block("input/0"), is_input_block("inputs"), is_input_block("conv1")
        (True, False, False)
    """
    return scope.startswith("input/")


def _plain(numbers: Mapping[str, float]) -> dict[str, float]:
    """Python's own numbers by text."""
    return {str(name): _plain_number(number) for name, number in numbers.items()}


def _plain_number(number: Any) -> float:
    """Python's own number for a tensor of one element, a number of numpy's or of Python's."""
    return float(number.detach() if isinstance(number, Tensor) else number)
