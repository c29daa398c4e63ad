"""JSON lines and back, and the data frame."""

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens import JSONLinesSink, read_jsonl, to_frame, write_jsonl
from lightning_factorlens.loggers.base import Sink
from lightning_factorlens.loggers.json_lines import from_json, to_json, without_tensors
from lightning_factorlens.results import LayerSpectrum, Observation


def flat(value):
    """Every leaf of a record, floats as their digits: NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(value, torch.Tensor):
        return ("tensor", str(value.dtype), tuple(value.shape), repr(value.tolist()))
    if hasattr(value, "__dataclass_fields__"):
        return [(name, flat(getattr(value, name))) for name in value.__dataclass_fields__]
    if isinstance(value, dict):
        return {name: flat(v) for name, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [flat(v) for v in value]
    return float.hex(value) if isinstance(value, float) else value


def kept(o):
    """What a line promises to keep."""
    bare = without_tensors(o)
    return {**dict(flat(bare)), "spectra": flat(o.spectra), "eigenvalues": [flat(s.eigenvalues) for s in o.similarity]}


def strict(line):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(line, parse_constant=refuse)


def test_a_file_comes_back_to_the_bit(observe, tmp_path):
    looks = [observe(e, notes=("a note",), skipped=e) for e in (0, 1, 5)]
    write_jsonl(looks, tmp_path / "looks.jsonl")
    back = read_jsonl(tmp_path / "looks.jsonl")
    assert [kept(o) for o in back] == [kept(o) for o in looks]
    assert all(o.images is None and o.factorization is None for o in back)
    assert [strict(line)["epoch"] for line in (tmp_path / "looks.jsonl").read_text().splitlines()] == [0, 1, 5]


def test_the_abstaining_layer_of_the_fixture_has_nan_and_it_survives(observe):
    line = to_json(observe())
    assert '"alpha":"NaN"' in line
    strict(line)
    assert math.isnan(from_json(line).spectra[2].fit.alpha)


def test_any_number_and_any_name_survive(observe, law):
    base, fit = observe(), law("x", 2.0).fit

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.floats(), min_size=6, max_size=6), st.dictionaries(st.text(), st.floats(), max_size=3))
    def survive(numbers, foreign):
        a, b, c, d, e, f = numbers
        pair = torch.tensor([a, b], dtype=torch.float64)
        spectrum = LayerSpectrum("é\n", "w1", (2, 3), pair, c, fit, external=foreign)
        o = replace(base, consistency=d, rms={"total": e, "\u2028": f}, spectra=(spectrum,))
        line = to_json(o)
        strict(line)
        assert "\n" not in line
        assert kept(from_json(line)) == kept(o)

    survive()


def test_older_and_newer_files_are_read(observe):
    found = json.loads(to_json(observe()))
    del found["similarity"], found["share"]
    found["spectra"][0] |= {"of a later version": 1}
    o = from_json(json.dumps(found))
    assert o.similarity == () and o.overhead is None and o.spectra[0].layer == "layer1"


def test_a_line_that_is_no_observation_is_named(observe, tmp_path):
    path = tmp_path / "looks.jsonl"
    path.write_text(to_json(observe()) + "\n" + '{"epoch":3}\n')
    with pytest.raises(ValueError, match=r"looks.jsonl, line 2: no observation: .*lacks 'step'"):
        read_jsonl(path)


def test_a_killed_run_leaves_its_finished_lines(observe, tmp_path):
    path = tmp_path / "looks.jsonl"
    write_jsonl([observe(0), observe(1)], path)
    path.write_text(path.read_text()[:-40])
    assert [o.epoch for o in read_jsonl(path)] == [0]
    sink = JSONLinesSink(path)
    sink.write(observe(1))
    assert [o.epoch for o in read_jsonl(path)] == [0, 1]


def test_a_new_run_begins_the_file_and_a_resumed_one_goes_on(observe, tmp_path):
    path = tmp_path / "new" / "looks.jsonl"
    first = JSONLinesSink(path)
    assert isinstance(first, Sink)
    for epoch in range(5):
        first.write(observe(epoch, consistency=0.5))
    resumed = JSONLinesSink(path)  # from the checkpoint of epoch 2
    for epoch in (3, 4, 5):
        resumed.write(observe(epoch, consistency=0.25))
    assert [(o.epoch, o.consistency) for o in read_jsonl(path)] == [
        (0, 0.5), (1, 0.5), (2, 0.5), (3, 0.25), (4, 0.25), (5, 0.25),
    ]  # fmt: skip
    resumed.close()
    resumed.write(observe(0))  # another fit
    assert [o.epoch for o in read_jsonl(path)] == [0]


def test_without_tensors_is_small_and_shows_the_same(observe):
    o = observe(2)
    light = without_tensors(o)
    tensors = [s.eigenvalues for s in light.spectra] + [s.cosine for s in light.similarity]
    assert sum(t.numel() for t in tensors) == 0
    assert light.images is None and light.factorization is None
    assert repr(light) == repr(o)
    assert light.curves == o.curves


def test_the_frame_has_every_number_once(observe):
    pytest.importorskip("pandas")
    looks = [observe(0), observe(4)]
    frame = to_frame(looks)
    assert list(frame.columns) == ["epoch", "step", "quantity", "scope", "rank", "value"]
    assert not frame.duplicated(["epoch", "quantity", "scope", "rank"]).any()
    curve = frame[(frame.quantity == "rel_error") & (frame.scope == "layer10")].pivot(
        index="epoch", columns="rank", values="value"
    )
    assert curve.loc[4].tolist() == list(looks[1].curves["layer10"].rel_error)
    floor = frame[(frame.quantity == "svd_rmse") & (frame.scope == "total") & (frame.epoch == 0)]
    assert floor.value.tolist() == list(looks[0].floors["total"].rmse)
    one = frame[frame.epoch == 4].set_index(["quantity", "scope"]).value
    assert one["consistency"].item() == 0.4375
    assert one["alpha", "layer10"] == 3.5
    assert math.isnan(one["alpha", "stem"])
    assert one["rank_at_12p5pct_capped", "total"] == 1.0
    assert one["seconds", "factorise"] == 1.0
    assert one["similarity_first_4", "layer1"] == looks[1].similarity[0].first_k


def test_one_observation_and_none_are_frames_too(observe):
    pytest.importorskip("pandas")
    o = observe()
    assert to_frame(o).equals(to_frame([o]))
    assert len(to_frame([])) == 0
    assert to_frame(from_json(to_json(o))).equals(to_frame(o))


def test_every_record_field_has_a_decoder(observe):
    """A field added to the records later must not come back as something else."""
    o = observe()
    back = from_json(to_json(o))
    for name in Observation.__dataclass_fields__:
        if name not in ("images", "factorization"):
            assert type(getattr(back, name)) is type(getattr(o, name)), name
