"""An observation of which parts are computed on another thread."""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.measurements import Measurement, Scalar, WeightSpectra, weight_spectra


class Deferring(Measurement):
    """Reads a copy of a weight later, and notes so; fails where it is told to."""

    name = "deferring"
    needs = frozenset({"weights"})
    scalars: ClassVar = (Scalar("sum", "{prefix}/sum", "Sum of the first weight."),)

    def __init__(self, fails=False):
        self.fails = fails

    def measure(self, context):
        weight = context.model[0].weight.detach().clone()

        def finish(total):
            context.note("summed")
            return {"sum": total / 0 if self.fails else total}

        return context.deferred(lambda: float(weight.sum()), finish)


def make_lens(*measurements):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 30))
    return FactorLens(model, measurements=measurements)


def test_deferred_records_are_those_of_the_weights_that_were_observed(worker):
    lens = make_lens(Deferring(), WeightSpectra())
    at_once = lens.observe(torch.rand(8, 30))
    pending, _ = lens.begin(torch.rand(8, 30), worker=worker)
    assert pending.names == {"deferring", "weight_spectra"}
    assert set(pending.observation.records) == {"cost"}
    assert not pending.is_complete
    with torch.no_grad():
        for parameter in lens.model.parameters():
            parameter.zero_()
    observation = pending.complete()
    assert pending.is_complete
    assert pending.is_done
    assert pending.complete() is observation
    assert list(observation.records) == ["deferring", "weight_spectra", "cost"]
    assert observation["deferring"]["sum"] == at_once["deferring"]["sum"] != 0
    assert observation["weight_spectra"].summary == at_once["weight_spectra"].summary
    assert observation.notes == at_once.notes == ("summed",)
    assert set(pending.seconds) == {"deferring", "weight_spectra"}
    assert observation["cost"].seconds["weight_spectra"] >= pending.seconds["weight_spectra"] > 0


def test_a_deferred_failure_leaves_the_other_records(worker):
    pending, _ = make_lens(Deferring(fails=True), WeightSpectra()).begin(torch.rand(8, 30), worker=worker)
    observation = pending.complete()
    assert isinstance(pending.failure, ZeroDivisionError)
    assert list(observation.records) == ["weight_spectra", "cost"]


def test_large_weights_on_an_accelerator_are_analysed_there(monkeypatch):
    small = weight_spectra.WeightLayer("a", "Linear", torch.zeros(40, 30))
    on_device = replace(small, weight=torch.zeros(40, 30, device="meta"))
    assert not weight_spectra._belongs_on_its_device([small, on_device])
    monkeypatch.setattr(weight_spectra, "LARGEST_COST_ON_HOST", 1.0)
    assert weight_spectra._belongs_on_its_device([small, on_device])
    assert not weight_spectra._belongs_on_its_device([small])
