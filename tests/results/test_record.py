"""Records hold Python's own numbers, whatever a measurement computed them with."""

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from lightning_factorlens.results import Observation, Record, Scalars, ScopedScalar, Value
from lightning_factorlens.results.serialization import from_json, to_json

NUMBERS = [2, True, np.float32(2), np.float64(2), np.int64(2), np.bool_(True), torch.tensor(2.0), torch.tensor([2])]


@dataclass(frozen=True)
class OwnRecord(Record):
    """A record of a user's measurement."""

    size: Any


@dataclass(frozen=True)
class OwnValues(OwnRecord):
    """One that gives its values itself."""

    def values(self):
        yield Value("size", self.size)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: type(number).__name__)
def test_every_kind_of_number_is_written_and_read(number):
    records: dict[str, Record] = {
        "scalars": Scalars({"x": number}),
        "scoped": ScopedScalar("x", {"total": number}),
        "own": OwnRecord(number),
        "own_values": OwnValues(number),
    }
    observation = Observation(1, 1, records)
    for value in observation.values():
        assert type(value.value) is float
        assert value.value == float(number)
    back = from_json(to_json(observation))
    assert list(back.values()) == list(observation.values())


@pytest.mark.parametrize("number", NUMBERS[:6], ids=lambda number: type(number).__name__)
def test_a_field_that_is_a_number_is_a_value(number):
    assert list(OwnRecord(number).values()) == [Value("size", float(number))]


def test_a_record_keeps_no_autograd_graph():
    weight = torch.ones(3, requires_grad=True)
    loss = (2 * weight).sum()
    graph = weakref.ref(loss)
    record = Scalars({"loss": loss})
    del loss
    assert graph() is None
    assert record["loss"] == 6


def test_a_scope_that_is_no_text_becomes_text():
    assert list(ScopedScalar("x", {3: 1.0}).values()) == [Value("x", 1.0, "3")]  # type: ignore[dict-item]


def test_a_record_whose_fields_cannot_be_encoded_keeps_its_numbers():
    loop: list[Any] = []
    loop.append(loop)
    for field in (loop, torch.zeros(2).to_sparse(), OwnRecord):
        observation = Observation(1, 1, {"own": OwnRecord(field)})
        assert from_json(to_json(observation))["own"] == Scalars({})


@dataclass(frozen=True)
class Nested(Record):
    """A record with fields of several kinds."""

    size: float
    matrix: torch.Tensor
    pair: tuple[int, str]
    heights: list[float]
    pairs: tuple[tuple[float, ...], ...]


def nested(matrix):
    return Nested(1.5, matrix, (2, "a"), [1.0, float("inf")], ((1.0,), (2.0, 3.0)))


@pytest.mark.parametrize("matrix", [torch.eye(2), torch.tensor(3.0), torch.tensor([[[1.0, float("inf")]]])])
def test_fields_of_any_shape_come_back(matrix):
    record = nested(matrix)
    back = from_json(to_json(Observation(1, 1, {"own": record})), {"own": Nested})["own"]
    assert torch.equal(back.matrix, matrix.double())
    assert (back.size, back.pair, back.heights, back.pairs) == (1.5, (2, "a"), record.heights, record.pairs)


@dataclass(frozen=True)
class Later(Record):
    """A later version of a user's record class, with one more field."""

    size: float
    depth: float


def test_a_record_class_that_has_changed_does_not_cost_the_observation():
    """Else the state of a whole run could not be read because of one record."""
    line = to_json(Observation(1, 1, {"own": OwnRecord(2.0)}))
    assert from_json(line, {"own": Later})["own"] == Scalars({"size": 2.0})
