"""Records from values of JSON, by the declared types of their fields; see `serialization`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from lightning_factorlens.results.packed_tensors import unpack_tensor
from lightning_factorlens.results.record import Record, Scalars

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def decode_record(kind: Any, content: Mapping[str, Any]) -> Any:
    """A record, or another dataclass, of its fields; missing ones take their defaults, unknown ones are ignored.

    Args:
        kind: The class.
        content: The values of its fields, from a JSON reader.

    Raises:
        KeyError: A field without a default is missing.
    """
    given: dict[str, Any] = {}
    hints = _type_hints(kind)
    for field in fields(kind):
        name = field.name
        if name in content:
            given[name] = _decode(hints[name], content[name])
        elif hints[name] is Tensor:
            given[name] = torch.empty(0, dtype=torch.float64)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(f"{kind.__name__} lacks {name!r}")
    return kind(**given)


def decode_own_record(kind: Any, content: Mapping[str, Any]) -> Record:
    """A record of the user's own; its numbers where its fields do not fit the class, which may have changed since.

    Args:
        kind: The class; None where it is not known.
        content: What `json_encoding.encode_record` has returned for it.
    """
    if kind is not None and "fields" in content:
        try:
            record: Record = decode_record(kind, content["fields"])
            return record
        except Exception:  # of whatever the user's class raises
            pass
    return Scalars(_decode(dict[str, float], content["numbers"]))


@cache
def _type_hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _decode(kind: Any, value: Any) -> Any:
    """A value from a JSON reader, converted to the declared type of the record's field."""
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin in (Union, UnionType):
        return _decode_union(arguments, value)
    if is_dataclass(kind):
        return decode_record(kind, value)
    if origin is tuple and Ellipsis not in arguments:
        return tuple(_decode(inner_kind, inner) for inner_kind, inner in zip(arguments, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        values = [_decode(arguments[0], inner) for inner in value]
        return tuple(values) if origin is tuple else values
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _decode(arguments[1], inner) for name, inner in value.items()}
    if kind is Tensor and isinstance(value, dict):
        return unpack_tensor(value)
    if kind is Tensor:
        return torch.tensor(_decode_numbers(value), dtype=torch.float64)
    if kind is float:
        return _decode_float(value)
    return value


def _decode_numbers(value: Any) -> Any:
    """The numbers of a tensor as nested lists."""
    if isinstance(value, list):
        return list(map(_decode_numbers, value))
    return _decode_float(value)


def _decode_float(value: Any) -> float:
    if isinstance(value, str):
        return NON_FINITE[value]
    return float(value)


def _decode_union(kinds: tuple[Any, ...], value: Any) -> Any:
    """An optional field, or one that holds a number or a word."""
    if value is None:
        return None
    alternatives = set(kinds) - {NoneType}
    if len(alternatives) == 1:
        return _decode(alternatives.pop(), value)
    if isinstance(value, str):
        return NON_FINITE.get(value, value)
    return value
