"""Observations as strict JSON and back.

Numbers are restored bit for bit; NaN and the infinities, which JSON has no numbers for, are written as the strings
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. The probe's inputs, the factors and the cosine matrices are left out, and
eigenvalues are kept. `pictures_to_json` keeps what `to_json` leaves out of records: pictures and diagrams. A record of
the user's own class is restored as that class if it is passed to `from_json`, otherwise as `Scalars` with its numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from lightning_factorlens.results.class_structure import ClassShare, SemanticStructure
from lightning_factorlens.results.concept_page import ConceptRecord
from lightning_factorlens.results.cost import Cost
from lightning_factorlens.results.curves import RankCurves, RequiredRanks
from lightning_factorlens.results.feature_visualization import UnitPicturesRecord
from lightning_factorlens.results.hierarchy import HierarchyRecord
from lightning_factorlens.results.hierarchy_evidence import (
    HierarchyStability,
    NullSizes,
    SeedAgreement,
)
from lightning_factorlens.results.hierarchy_report import HierarchyReport
from lightning_factorlens.results.layer_hierarchies import LayerHierarchies
from lightning_factorlens.results.layer_spectra import LayerSpectra
from lightning_factorlens.results.layers import LayerSimilarities, LayerSimilarity
from lightning_factorlens.results.observation import Observation
from lightning_factorlens.results.packed_tensors import pack_tensor, unpack_tensor
from lightning_factorlens.results.record import Record, Scalars, ScopedScalar
from lightning_factorlens.results.setup import Setup
from lightning_factorlens.results.stopping_decision import HandedOver, StoppingDecision

#: Types that a JSON line names, by their names.
RECORD_TYPES: dict[str, type[Record]] = {
    "ClassShare": ClassShare,
    "ConceptRecord": ConceptRecord,
    "Cost": Cost,
    "HierarchyRecord": HierarchyRecord,
    "HierarchyReport": HierarchyReport,
    "HierarchyStability": HierarchyStability,
    "LayerHierarchies": LayerHierarchies,
    "LayerSimilarities": LayerSimilarities,
    "LayerSpectra": LayerSpectra,
    "NullSizes": NullSizes,
    "RankCurves": RankCurves,
    "RequiredRanks": RequiredRanks,
    "Scalars": Scalars,
    "ScopedScalar": ScopedScalar,
    "SeedAgreement": SeedAgreement,
    "SemanticStructure": SemanticStructure,
    "UnitPicturesRecord": UnitPicturesRecord,
}
#: Fields that are left out.
EXCLUDED_FIELDS: dict[type, tuple[str, ...]] = {
    LayerSimilarity: ("cosine",),
    ConceptRecord: ("page",),
    UnitPicturesRecord: ("found",),
    LayerHierarchies: ("diagram",),
}
#: The fields of these that `pictures_to_json` keeps.
PICTURE_FIELDS: dict[type, str] = {
    ConceptRecord: "page",
    UnitPicturesRecord: "found",
    LayerHierarchies: "diagram",
}
#: Fields of an observation that a line has only where they are not empty, and the types of their entries.
DECISION_FIELDS: dict[str, type] = {"decisions": StoppingDecision, "handed_over": HandedOver}
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(observation: Observation) -> str:
    """Converts an observation to one line of JSON.

    Args:
        observation: The observation; its tensors are left out, except for the eigenvalues.

    Returns:
        The line, without a line end.

    Example:
        >>> observation = Observation(epoch=3, step=300, records={"consistency": Scalars({"consistency": 0.5})})
        >>> from_json(to_json(observation))
        Observation of epoch 3 | consistency 0.5
    """
    records = {}
    for name, record in observation.records.items():
        records[name] = _encode_record(record)
    line = {
        "epoch": observation.epoch,
        "step": observation.step,
        "is_full": observation.is_full,
        "notes": list(observation.notes),
        "records": records,
    }
    if observation.setup is not None:
        line["setup"] = _encode(observation.setup)
    for name in DECISION_FIELDS:
        found = getattr(observation, name)
        if found:
            line[name] = _encode(found)
    return json.dumps(line, allow_nan=False, separators=(",", ":"))


def pictures_of(observation: Observation) -> dict[str, Record]:
    """The records of an observation that have pictures or diagrams, by the names of their measurements.

    Args:
        observation: The observation.
    """
    found = {}
    for name, record in observation.records.items():
        field = PICTURE_FIELDS.get(type(record))
        if field is not None and getattr(record, field) is not None:
            found[name] = record
    return found


def pictures_to_json(observation: Observation) -> str:
    """Converts an observation to one line of JSON, with the pictures and diagrams of its records.

    Pictures take 256 levels and at most 96 pixels a side; all other numbers keep their bits.

    Args:
        observation: The observation, of which usually the records of `pictures_of` alone are wanted.

    Returns:
        The line, without a line end; `from_json` reads it.
    """
    records = {}
    for name, record in observation.records.items():
        records[name] = {"type": type(record).__name__, "fields": _encode(record, True)}
    line = {"epoch": observation.epoch, "step": observation.step, "records": records}
    return json.dumps(line, allow_nan=False, separators=(",", ":"))


def from_json(line: str, record_types: Mapping[str, type[Record]] | None = None) -> Observation:
    """Restores the observation of one line; missing fields take their defaults, unknown ones are ignored.

    Args:
        line: From `to_json`.
        record_types: The user's own record classes, by the names of their measurements.

    Returns:
        The observation, without the tensors that were left out.

    Raises:
        ValueError: The line is not JSON, or not an observation.
        KeyError: A record lacks a field that it needs.
    """
    found = json.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("records"), dict):
        raise ValueError(
            f"line: must be a JSON object with records, found {type(found).__name__}; pass a line that to_json wrote"
        )
    own_types = record_types or {}
    records: dict[str, Record] = {}
    for name, content in found["records"].items():
        kind = own_types.get(name) or RECORD_TYPES.get(content["type"])
        if "numbers" in content:
            records[name] = _decode_own_record(kind, content)
        elif kind is not None:
            records[name] = _decode_record(kind, content.get("fields", {}))
    notes = tuple(found.get("notes", ()))
    setup = None if found.get("setup") is None else _decode_record(Setup, found["setup"])
    return Observation(
        epoch=found["epoch"],
        step=found["step"],
        records=records,
        notes=notes,
        is_full=found.get("is_full", True),
        setup=setup,
        **_decode_decisions(found),
    )


def _decode_decisions(line: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line that are about stopping."""
    decoded = {}
    for name, kind in DECISION_FIELDS.items():
        decoded[name] = tuple(_decode_record(kind, content) for content in line.get(name, ()))
    return decoded


def _encode_record(record: Record) -> dict[str, Any]:
    """The fields of a record, and its numbers if its class is not one of this package."""
    kind = type(record)
    if kind in RECORD_TYPES.values():
        return {"type": kind.__name__, "fields": _encode(record)}
    content: dict[str, Any] = {"type": kind.__name__, "numbers": _encode(_as_scalars(record).numbers)}
    try:
        fields_of_record = _encode(record)
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


def _encode(value: Any, with_pictures: bool = False) -> Any:
    if is_dataclass(value):
        excluded = EXCLUDED_FIELDS.get(type(value), ())
        if with_pictures and type(value) in PICTURE_FIELDS:
            excluded = ()
        encoded = {}
        for field in fields(value):
            if field.name not in excluded:
                encoded[field.name] = _encode(getattr(value, field.name), with_pictures)
        return encoded
    if isinstance(value, Mapping):
        return {name: _encode(inner, with_pictures) for name, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encode(inner, with_pictures) for inner in value]
    if isinstance(value, Tensor):
        return pack_tensor(value) if with_pictures else _encode(value.detach().double().cpu().tolist())
    if isinstance(value, (np.generic, np.ndarray)):
        return _encode(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return _encode_non_finite(value)
    return value


def _encode_non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if value > 0:
        return "Infinity"
    return "-Infinity"


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
        return _decode_record(kind, value)
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


def _decode_own_record(kind: Any, content: Mapping[str, Any]) -> Record:
    """A record of the user's own; its numbers where its fields do not fit the class, which may have changed since."""
    if kind is not None and "fields" in content:
        try:
            record: Record = _decode_record(kind, content["fields"])
            return record
        except Exception:  # of whatever the user's class raises
            pass
    return Scalars(_decode(dict[str, float], content["numbers"]))


def _decode_record(kind: Any, content: Mapping[str, Any]) -> Any:
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
