"""A short repr for records of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

from torch import Tensor


class ShortRepr:
    """Gives a dataclass, declared with ``repr=False``, a repr of one line.

    Tensors are given by their shapes, tuples of records by their number. A notebook shows what ``print`` shows, which
    is a table for some records.

    Example:
        >>> import torch
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, eq=False, repr=False)
        ... class Found(ShortRepr):
        ...     layer: str
        ...     W: Tensor
        >>> Found("relu1", torch.rand(400, 10))
        Found(layer='relu1', W=tensor(400, 10))
    """

    def __repr__(self) -> str:
        parts = [f"{field.name}={_short(getattr(self, field.name))}" for field in fields(self)]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"tensor({', '.join(map(str, value.shape))})"
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return f"<{len(value)} × {type(value[0]).__name__}>"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_short(found)}" for key, found in value.items()) + "}"
    return repr(value)
