"""Changes of the predictions in a lens against the functions, also across a resumed run."""

import pytest
import torch
from small_lens import lens_with, make_net, make_probe, train_a_little
from torch import nn

from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.measurements import PredictionChange
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes
from lightning_factorlens.run_state import RunState


def expected_changes(before, outputs):
    return {
        "prediction_changes": prediction_changes(before, outputs),
        "mean_total_variation": mean_total_variation(before, outputs),
    }


def numbers(observation):
    return {value.quantity: value.value for value in observation["prediction_change"].values()}


@torch.no_grad()
def outputs_after(net, steps, probe):
    for step in steps:
        train_a_little(net, step)
    return net(probe)


def test_two_observations_are_compared():
    lens, probe = lens_with(PredictionChange()), make_probe()
    first = lens.observe(probe)
    assert "prediction_change" not in first
    previous = outputs_after(make_net(), (), probe)
    for step in range(1, 4):
        train_a_little(lens.model, step)
        with torch.no_grad():
            outputs = lens.model(probe)
        found = numbers(lens.observe(probe, epoch=step))
        assert found == pytest.approx(expected_changes(previous, outputs), rel=1e-5)
        assert found["mean_total_variation"] > 0
        previous = outputs


def test_a_resumed_run_compares_with_the_last_observation(tmp_path):
    probe = make_probe()
    lens = lens_with(PredictionChange())
    lens.observe(probe)
    torch.save(lens.state.state_dict(), tmp_path / "state.pt")
    resumed = lens_with(PredictionChange())
    resumed.state = RunState(OverheadBudget()).from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    before = outputs_after(make_net(), (), probe)
    outputs = outputs_after(resumed.model, (7,), probe)
    assert numbers(resumed.observe(probe, epoch=1)) == pytest.approx(expected_changes(before, outputs), rel=1e-5)


def test_other_samples_are_not_compared():
    lens = lens_with(PredictionChange())
    lens.observe(make_probe(16))
    assert "prediction_change" not in lens.observe(make_probe(12), epoch=1)
    assert "prediction_change" in lens.observe(make_probe(12), epoch=2)


def test_outputs_without_classes_are_noted():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    observation = lens_with(PredictionChange(), net=net, outputs=None).observe(make_probe())
    assert "prediction_change" not in observation
    (note,) = observation.notes
    assert note.startswith("no prediction change: nothing says whether (N, 3, 6, 6) are class scores.")
