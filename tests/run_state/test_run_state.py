"""What lasts from one observation to the next, through a real file, as Lightning loads checkpoints."""

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.batches.batch import fingerprint
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.config import LensOptions
from lightning_factorlens.results.history import MAX_HISTORY
from lightning_factorlens.results.serialization import to_json
from lightning_factorlens.run_state import RunState, WarmStart


@pytest.fixture(scope="module")
def observation():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return FactorLens(net, LensOptions(ranks=(1, 2))).observe(torch.rand(8, 1, 8, 8))


def make_state(observation, n_observations=1, patterns="None"):
    state = RunState(OverheadBudget(), patterns)
    for _ in range(n_observations):
        kept = {"consistency": {"average": torch.rand(8, 3)}, "user's": {"nested": [torch.rand(2), "text", 3]}}
        state.record(observation, WarmStart(observation.factorization.F, kept))
    state.layers = ["1"]
    state.epochs = 4
    state.last_step = 7
    state.publish({"factorlens_cost/seconds": 1.5})
    state.update_probe(fingerprint(observation.inputs))
    return state


def through_a_file(state, tmp_path, patterns="None"):
    torch.save(state.state_dict(), tmp_path / "state.pt")
    return RunState(OverheadBudget(0.1), patterns).from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))


def test_the_state_is_restored_bit_for_bit(observation, tmp_path):
    state = make_state(observation, n_observations=2)
    state.budget.total_seconds, state.budget.n_measured = 3.0, 1
    resumed = through_a_file(state, tmp_path)
    fresh = RunState(OverheadBudget(), "None")
    names = ["n_measured", "epochs", "last_step", "measured_this_epoch", "metrics", "epoch_metrics", "layers"]
    for name in (*names, "probe_fingerprint"):
        assert getattr(resumed, name) == getattr(state, name) != getattr(fresh, name), name
    assert all(map(torch.equal, resumed.warm_start.F, state.warm_start.F))
    found, expected = resumed.warm_start.states, state.warm_start.states
    assert torch.equal(found["consistency"]["average"], expected["consistency"]["average"])
    assert torch.equal(found["user's"]["nested"][0], expected["user's"]["nested"][0])
    assert found["user's"]["nested"][1:] == ["text", 3]
    assert list(map(to_json, resumed.history)) == list(map(to_json, state.history))
    assert (resumed.budget.total_seconds, resumed.budget.n_measured, resumed.budget.max_fraction) == (3.0, 1, 0.1)
    resumed.record(observation, resumed.warm_start)
    again = through_a_file(resumed, tmp_path)
    assert list(map(to_json, again.history)) == [to_json(o) for o in resumed.history]
    assert len(again.history) == 3


def test_layers_that_other_patterns_selected_are_not_reused(observation, tmp_path):
    assert through_a_file(make_state(observation), tmp_path, patterns="['conv*']").layers == []


def test_a_probe_of_other_samples_drops_the_warm_start(observation):
    state = make_state(observation)
    assert state.update_probe(fingerprint(observation.inputs.clone()))
    assert state.warm_start.F is not None
    assert not state.update_probe(fingerprint(observation.inputs + 1e-6))
    assert state.warm_start == WarmStart()
    assert state.update_probe(fingerprint(observation.inputs + 1e-6))


def test_a_checkpoint_keeps_the_last_observations_of_a_long_run(observation, tmp_path):
    resumed = through_a_file(make_state(observation, n_observations=MAX_HISTORY + 3), tmp_path)
    assert len(resumed.history) == MAX_HISTORY
    assert resumed.n_measured == MAX_HISTORY + 3
    assert resumed.history[0].epoch == observation.epoch
    assert len(list(resumed.history)) == MAX_HISTORY


def test_a_failed_observation_leaves_the_last_values_and_no_new_ones(observation):
    state = make_state(observation)
    state.publish(None)
    assert state.metrics == {"factorlens_cost/seconds": 1.5}
    assert state.epoch_metrics == {}
    assert not state.measured_this_epoch


def test_the_history_holds_no_tensors(observation):
    state = make_state(observation)
    (kept,) = state.history
    assert kept.factorization is None
    assert kept.inputs is None
    assert all(similarity.cosine.numel() == 0 for similarity in kept["neuron_similarity"].layers)
    assert all(spectrum.eigenvalues.numel() == 0 for spectrum in kept["weight_spectra"].layers)
    assert repr(list(kept.values())) == repr(list(observation.values()))  # also NaN equals NaN


def test_a_warm_start_moves_to_the_cpu_whatever_its_structure():
    on_device = torch.zeros(2, requires_grad=True)
    warm_start = WarmStart((on_device,), {"a": {"b": [on_device, (on_device, 1)]}}).cpu()
    (first, (second, number)) = warm_start.states["a"]["b"]
    assert not any(tensor.requires_grad for tensor in (*warm_start.F, first, second))
    assert number == 1


def test_factors_that_are_not_finite_are_refused(observation):
    state = make_state(observation).state_dict()
    state["warm_start"]["F"][0] = state["warm_start"]["F"][0] * torch.nan
    with pytest.raises(ValueError, match=r"warm_start: found factors that are NaN or infinite; resume from"):
        RunState().from_state_dict(state)
