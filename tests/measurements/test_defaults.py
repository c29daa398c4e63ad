"""The default measurements in a real lens: what they declare is what they give."""

import math

import pytest
from small_lens import lens_with, make_probe, train_a_little

from lightning_factorlens import LensOptions
from lightning_factorlens.loggers.tags import tagged_values
from lightning_factorlens.measurements import (
    ObservationCost,
    PredictionChange,
    PredictionConfidence,
    WeightSpectra,
    check_measurements,
    default_measurements,
)

#: Everything that a user can switch on.
ALL = [*default_measurements(), PredictionConfidence(), PredictionChange()]


@pytest.fixture(scope="module")
def observation():
    """The second observation of a lens, for measurements that compare with the last one."""
    lens = lens_with(*ALL, ranks=LensOptions().ranks)
    lens.observe(make_probe(40))
    train_a_little(lens.model, 1)
    return lens.observe(make_probe(40), epoch=1, step=5)


@pytest.mark.parametrize("measurement", ALL, ids=lambda m: m.name)
def test_every_declared_quantity_is_in_the_record(observation, measurement):
    quantities = {value.quantity for value in observation[measurement.name].values()}
    assert {scalar.quantity for scalar in measurement.scalars} <= quantities


@pytest.mark.parametrize("measurement", ALL, ids=lambda m: m.name)
def test_every_declaration_describes_some_value(observation, measurement):
    described = [measurement.scalar_of(value) for value in observation[measurement.name].values()]
    assert all(scalar in described for scalar in measurement.scalars)


def test_every_finite_value_with_a_declaration_has_a_tag_of_its_own(observation):
    expected = []
    for measurement in [*ALL, ObservationCost()]:
        for value in observation[measurement.name].values():
            if measurement.scalar_of(value) is not None and math.isfinite(value.value):
                expected.append(value)
    entries = list(tagged_values(observation, ALL, "factorlens"))
    tags = [entry.tag for entry in entries]
    assert len(set(tags)) == len(tags)
    assert sorted(map(repr, (entry.value for entry in entries))) == sorted(map(repr, expected))
    assert all(tag.startswith("factorlens") and "{" not in tag for tag in tags)


def test_they_are_valid_together_and_every_list_is_fresh():
    assert check_measurements(ALL) == tuple(ALL)
    first, second = default_measurements(), default_measurements()
    assert first == second
    first.append(PredictionChange())
    assert len(default_measurements()) == len(second)


def test_every_scalar_has_a_help_text_that_ends_a_sentence():
    for measurement in [*ALL, ObservationCost()]:
        for scalar in measurement.scalars:
            assert scalar.help.endswith("."), scalar.tag
            assert not scalar.reading or scalar.reading.endswith("."), scalar.tag


def test_the_records_are_in_the_order_of_the_measurements(observation):
    assert list(observation.records) == [*(measurement.name for measurement in ALL), "cost"]


def counted(lens):
    """The lens, and a list that grows with every forward pass; an attribute of the model would be restored."""
    calls = []

    def forward(model, batch):
        calls.append(len(batch))
        return model(batch)

    lens.forward_fn = forward
    return lens, calls


def test_measurements_of_weights_alone_make_no_forward_pass():
    lens, calls = counted(lens_with(WeightSpectra()))
    observation = lens.observe(make_probe())
    assert calls == []
    assert [spectrum.layer for spectrum in observation["weight_spectra"].layers] == ["conv", "hidden", "head"]
    assert observation.factorization is None
    assert lens.layer_table == []


def test_measurements_of_the_outputs_alone_make_no_factorization(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a factorisation was made")

    monkeypatch.setattr("lightning_factorlens.factorization.problem.CoupledProblem.__init__", refuse)
    lens, calls = counted(
        lens_with(PredictionConfidence(), ranks=(1, 2, 99))
    )  # more components than the probe has samples
    observation = lens.observe(make_probe())
    assert observation.factorization is None
    assert calls
    assert 0 < observation["prediction_confidence"]["confidence"] <= 1
