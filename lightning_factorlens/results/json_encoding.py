"""Records as values that JSON has, see `serialization`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lightning_factorlens.results.packed_tensors import pack_tensor
from lightning_factorlens.results.record import Record, Scalars
from lightning_factorlens.results.record_types import EXCLUDED_FIELDS, PICTURE_FIELDS, RECORD_TYPES


def encode_record(record: Record) -> dict[str, Any]:
    """The fields of a record, and its numbers if its class is not one of this package.

    Args:
        record: The record.
    """
    kind = type(record)
    if kind in RECORD_TYPES.values():
        return {"type": kind.__name__, "fields": encode(record)}
    content: dict[str, Any] = {"type": kind.__name__, "numbers": encode(_as_scalars(record).numbers)}
    try:
        fields_of_record = encode(record)
        json.dumps(fields_of_record, allow_nan=False)
    except Exception:  # a field that JSON has no form for: the numbers alone are kept
        return content
    return {**content, "fields": fields_of_record}


def _as_scalars(record: Record) -> Scalars:
    """The numbers of a record, named by quantity, scope and rank."""
    numbers = {}
    for value in record.values():
        parts = [value.quantity]
        if value.scope is not None:
            parts.append(value.scope)
        if value.rank is not None:
            parts.append(f"rank_{value.rank}")
        numbers["/".join(parts)] = value.value
    return Scalars(numbers)


def encode(value: Any, with_pictures: bool = False) -> Any:
    """A value as one that JSON has: dataclasses as objects of their fields, tensors as nested lists.

    Args:
        value: A record, or a value in a field of one.
        with_pictures: Whether to keep `PICTURE_FIELDS`, and to pack tensors, see `pack_tensor`.
    """
    if is_dataclass(value):
        excluded = EXCLUDED_FIELDS.get(type(value), ())
        if with_pictures and type(value) in PICTURE_FIELDS:
            excluded = ()
        encoded = {}
        for field in fields(value):
            if field.name not in excluded:
                encoded[field.name] = encode(getattr(value, field.name), with_pictures)
        return encoded
    if isinstance(value, Mapping):
        return {name: encode(inner, with_pictures) for name, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(inner, with_pictures) for inner in value]
    if isinstance(value, Tensor):
        return pack_tensor(value) if with_pictures else encode(value.detach().double().cpu().tolist())
    if isinstance(value, (np.generic, np.ndarray)):
        return encode(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return _encode_non_finite(value)
    return value


def _encode_non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if value > 0:
        return "Infinity"
    return "-Infinity"
