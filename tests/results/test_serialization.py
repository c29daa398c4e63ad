"""Observations as JSON and back."""

import json
import math
from dataclasses import dataclass, replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from records import flatten, kept, strict_json

from lightning_factorlens.results import (
    ClassShare,
    ConceptRecord,
    HierarchyRecord,
    HierarchyReport,
    HierarchyStability,
    LayerHierarchies,
    LayerSpectra,
    LayerSpectrum,
    NullSizes,
    Record,
    Scalars,
    ScopedScalar,
    SeedAgreement,
    SemanticStructure,
    UnitPicturesRecord,
    Value,
)
from lightning_factorlens.results.record_types import RECORD_TYPES
from lightning_factorlens.results.serialization import from_json, to_json


def test_what_a_line_promises_comes_back_bit_for_bit(observe):
    for o in (observe(0, notes=("a note",), n_signal_only=2), observe(1, overhead=None, alpha=None), observe(5)):
        back = from_json(to_json(o))
        assert kept(back) == kept(o)
        assert back.inputs is None
        assert back.factorization is None


def test_a_layer_without_a_fit_has_nan_and_it_survives(observe):
    line = to_json(observe())
    assert '"alpha":"NaN"' in line
    strict_json(line)
    assert math.isnan(from_json(line)["weight_spectra"].layers[2].fit.alpha)


def test_any_number_and_any_name_survive(observe, law):
    base, fit = observe(), law("x", 2.0).fit

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.floats(), min_size=6, max_size=6), st.dictionaries(st.text(), st.floats(), max_size=3))
    def survive(numbers, external):
        a, b, c, d, e, f = numbers
        pair = torch.tensor([a, b], dtype=torch.float64)
        spectrum = LayerSpectrum("é\n", "w1", (2, 3), pair, c, fit, external=external)
        o = base.with_record("consistency", Scalars({"consistency": d}))
        o = o.with_record("rms", ScopedScalar("rms", {"total": e, "\u2028": f}))
        o = o.with_record("weight_spectra", LayerSpectra((spectrum,), None))
        line = to_json(o)
        strict_json(line)
        assert "\n" not in line
        assert kept(from_json(line)) == kept(o)

    survive()


def test_older_and_newer_files_are_read(observe):
    found = json.loads(to_json(observe()))
    del found["records"]["neuron_similarity"], found["records"]["cost"]["fields"]["overhead"], found["notes"]
    found["records"]["weight_spectra"]["fields"]["layers"][0] |= {"field of a later version": 1}
    found["records"]["later"] = {"type": "RecordOfALaterVersion", "number": 1}
    o = from_json(json.dumps(found))
    assert "neuron_similarity" not in o
    assert "later" not in o
    assert o["cost"].overhead is None
    assert o.notes == ()
    assert o["weight_spectra"].layers[0].layer == "layer1"


@dataclass(frozen=True)
class OwnRecord(Record):
    """A record of a user's measurement."""

    size: int
    by_layer: dict[str, float]

    def values(self):
        yield from super().values()
        for layer, value in self.by_layer.items():
            if isinstance(value, float):
                yield Value("height", value, layer, 4)


def test_a_record_of_another_package_comes_back_as_its_numbers(observe):
    o = observe().with_record("own", OwnRecord(3, {"a": 0.5, "b": math.inf}))
    line = to_json(o)
    strict_json(line)
    back = from_json(line)
    assert back["own"] == Scalars({"size": 3.0, "height/a/rank_4": 0.5, "height/b/rank_4": math.inf})
    assert kept(from_json(to_json(back))) == kept(back)


def test_a_record_of_another_package_comes_back_whole_where_its_class_is_known(observe):
    record = OwnRecord(3, {"a": 0.5, "b": math.inf})
    line = to_json(observe().with_record("own", record))
    assert from_json(line, {"own": OwnRecord})["own"] == record


def test_a_record_that_json_has_no_form_for_keeps_its_numbers(observe):
    line = to_json(observe().with_record("own", OwnRecord(3, {"a": 0.5, "b": object()})))  # type: ignore[dict-item]
    assert from_json(line, {"own": OwnRecord})["own"] == Scalars({"size": 3.0, "height/a/rank_4": 0.5})


#: Records that no measurement returns by default: `tests/hierarchy/test_records.py` writes and reads them.
HIERARCHY_RECORDS = {
    ClassShare,
    HierarchyRecord,
    HierarchyReport,
    HierarchyStability,
    LayerHierarchies,
    NullSizes,
    SeedAgreement,
    SemanticStructure,
    UnitPicturesRecord,
}


def test_every_record_has_a_decoder(observe):
    o = observe()
    back = from_json(to_json(o))
    assert list(back.records) == list(o.records)
    for name, record in o.records.items():
        assert type(back[name]) is type(record), name
        for field in record.__dataclass_fields__:
            assert type(getattr(back[name], field)) is type(getattr(record, field)), (name, field)
    elsewhere = {ConceptRecord, UnitPicturesRecord, *HIERARCHY_RECORDS}  # in tests of their own
    assert {type(record) for record in o.records.values()} | elsewhere == set(RECORD_TYPES.values())
    assert flatten(replace(back, records={})) == flatten(replace(o, records={}, inputs=None, factorization=None))
