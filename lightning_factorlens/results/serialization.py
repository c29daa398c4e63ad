"""Observations as strict JSON and back.

Numbers are restored bit for bit; NaN and the infinities, which JSON has no numbers for, are written as the strings
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. The probe's inputs, the factors and the cosine matrices are left out, and
eigenvalues are kept. `pictures_to_json` keeps what `to_json` leaves out of records: pictures and diagrams. A record of
the user's own class is restored as that class if it is passed to `from_json`, otherwise as `Scalars` with its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lightning_factorlens.results.json_decoding import decode_own_record, decode_record
from lightning_factorlens.results.json_encoding import encode, encode_record
from lightning_factorlens.results.observation import Observation
from lightning_factorlens.results.record import Record
from lightning_factorlens.results.record_types import PICTURE_FIELDS, RECORD_TYPES
from lightning_factorlens.results.setup import Setup
from lightning_factorlens.results.stopping_decision import HandedOver, StoppingDecision

#: Fields of an observation that a line has only where they are not empty, and the types of their entries.
DECISION_FIELDS: dict[str, type] = {"decisions": StoppingDecision, "handed_over": HandedOver}


def to_json(observation: Observation) -> str:
    """Converts an observation to one line of JSON.

    Args:
        observation: The observation; its tensors are left out, except for the eigenvalues.

    Returns:
        The line, without a line end.

    Example:
        >>> from lightning_factorlens.results import Scalars
        >>> observation = Observation(epoch=3, step=300, records={"consistency": Scalars({"consistency": 0.5})})
        >>> from_json(to_json(observation))
        Observation of epoch 3 | consistency 0.5
    """
    records = {}
    for name, record in observation.records.items():
        records[name] = encode_record(record)
    line = {
        "epoch": observation.epoch,
        "step": observation.step,
        "is_full": observation.is_full,
        "notes": list(observation.notes),
        "records": records,
    }
    if observation.setup is not None:
        line["setup"] = encode(observation.setup)
    for name in DECISION_FIELDS:
        found = getattr(observation, name)
        if found:
            line[name] = encode(found)
    return json.dumps(line, allow_nan=False, separators=(",", ":"))


def with_decisions(line: str, observation: Observation) -> str:
    """The line of an observation with other decisions; its numbers stay.

    Args:
        line: From `to_json`.
        observation: The observation with the decisions, of which nothing else is read.

    Returns:
        The line, without a line end.
    """
    content = json.loads(line)
    for name in DECISION_FIELDS:
        content[name] = encode(getattr(observation, name))
        if not content[name]:
            del content[name]
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


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
        records[name] = {"type": type(record).__name__, "fields": encode(record, True)}
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
            records[name] = decode_own_record(kind, content)
        elif kind is not None:
            records[name] = decode_record(kind, content.get("fields", {}))
    notes = tuple(found.get("notes", ()))
    setup = None if found.get("setup") is None else decode_record(Setup, found["setup"])
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
        decoded[name] = tuple(decode_record(kind, content) for content in line.get(name, ()))
    return decoded
