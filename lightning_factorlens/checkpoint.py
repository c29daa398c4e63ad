"""Records as text and back: what a checkpoint keeps of past looks.

One string a look: checkpoints are loaded with ``weights_only``, which takes strings, and a string is saved far faster
than the thousand numbers in it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def to_text(record: Any) -> str:
    """A record of `types` as JSON; floats come back bit for bit, tensors in double precision.

    Raises:
        TypeError: Something in it that JSON has no word for.
    """
    return json.dumps(record, default=_part, separators=(",", ":"))


def _part(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Tensor):
        return value.tolist()
    if hasattr(value, "item"):
        return value.item()  # NumPy's numbers
    raise TypeError(f"a checkpoint keeps records, numbers and words, found {type(value).__name__}: {value!r}.")


def from_text(kind: type[T], text: str) -> T:
    """The record that `to_text` was given.

    Args:
        kind: Its type. Fields that the text lacks take their defaults: an older version wrote it.
        text: From `to_text`.
    """
    made: T = _as(kind, json.loads(text))
    return made


_hints = functools.cache(typing.get_type_hints)


def _as(hint: Any, plain: Any) -> Any:
    """One value, by the type that its field declares."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if plain is None else _as(next(p for p in parts if p is not type(None)), plain)
    if dataclasses.is_dataclass(hint):
        kind, hints = typing.cast(Any, hint), _hints(typing.cast(Any, hint))
        known = [field.name for field in dataclasses.fields(kind) if field.name in plain]
        return kind(**{name: _as(hints[name], plain[name]) for name in known})
    if origin is tuple:
        kinds = [parts[0]] * len(plain) if parts[-1] is Ellipsis else parts
        return tuple(_as(kind, part) for kind, part in zip(kinds, plain))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _as(parts[1], part) for key, part in plain.items()}
    return torch.tensor(plain, dtype=torch.float64) if hint is Tensor else plain
