"""Observations hold records by name."""

from dataclasses import replace

import pytest

from lightning_factorlens.results import Scalars


def test_without_tensors_is_small_and_reads_equal(observe):
    o = observe(2)
    light = o.without_tensors()
    tensors = [s.eigenvalues for s in light["weight_spectra"].layers]
    tensors += [s.cosine for s in light["neuron_similarity"].layers]
    assert sum(t.numel() for t in tensors) == 0
    assert light.inputs is None
    assert light.factorization is None
    assert repr(light) == repr(o)
    assert light["reconstruction_error"].curves == o["reconstruction_error"].curves
    assert o.factorization is not None  # the whole observation is unchanged
    assert o["weight_spectra"].layers[0].eigenvalues.numel() == 64


def test_a_missing_record_is_named_with_those_there_are(observe):
    o = observe(consistency=None)
    assert o.get("consistency") is None
    assert "consistency" not in o
    with pytest.raises(KeyError, match=r"no record 'consistency'; available are: 'required_rank', "):
        o["consistency"]


def test_a_value_is_found_by_quantity_scope_and_rank(observe):
    o = observe()
    assert o.value("consistency") == 0.4375
    assert o.value("rel_error", "layer10", 8) == o["reconstruction_error"]["layer10"].rel_error[3]
    assert o.value("effective_rank", "inputs") == 21.5
    assert o.value("effective_rank") == o.value("effective_rank", "total") == 20.5
    assert o.value("rel_error", rank=8) == o["reconstruction_error"]["total"].rel_error[3]


def test_a_wrong_name_is_an_error_that_lists_what_there_is(observe):
    o = observe()
    with pytest.raises(KeyError, match="no quantity 'efective_rank'.*Did you mean 'effective_rank'"):
        o.value("efective_rank")
    with pytest.raises(KeyError, match="scopes: 'total', 'inputs', .*Did you mean scope='layer1"):
        o.value("effective_rank", "layr1")
    with pytest.raises(KeyError, match="rank=None .* ranks: 1, 2, 4, 8, 16, 32"):
        o.value("rel_error", "total")
    with pytest.raises(KeyError, match="Did you mean scope='total'"):
        o.condensed().value("effective_rank", "totl")


def test_what_was_not_measured_has_no_value(observe):
    assert observe(consistency=None).value("consistency") is None
    assert observe(required_ranks=None).value("rank_at_30pct", "total") is None
    assert replace(observe(), is_full=False).value("of_my_own") is None
    assert observe().condensed().value("effective_rank", "layer1") is None


def test_with_record_adds_or_replaces_one(observe):
    o = observe()
    changed = o.with_record("consistency", Scalars({"consistency": 1.0}))
    assert changed.value("consistency") == 1.0
    assert o.value("consistency") == 0.4375
    assert set(changed.records) == set(o.records)
