"""What a lens remembers of a run, through a real file, as Lightning loads checkpoints."""

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.config import LensOptions
from lightning_factorlens.lens import WarmStart
from lightning_factorlens.loggers.json_lines import to_json
from lightning_factorlens.run_state import MAX_HISTORY, RunState


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return FactorLens(net, LensOptions(ranks=(1, 2))).observe(torch.rand(8, 1, 8, 8))


def diary_of(seen, looks=1, patterns="None"):
    diary = RunState(OverheadBudget(), patterns)
    for _ in range(looks):
        diary.record(seen, WarmStart(seen.factorization.F, torch.rand(8, 3)))
    diary.layers, diary.epochs, diary.last_step = ["1"], 4, 7
    diary.publish({"factorlens/seconds": 1.5})
    diary.update_probe(seen.inputs)
    return diary


def through_a_file(diary, tmp_path, patterns="None"):
    torch.save(diary.state_dict(), tmp_path / "state.pt")
    return RunState(OverheadBudget(0.1), patterns).from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))


def test_what_is_remembered_comes_back_to_the_bit(seen, tmp_path):
    diary = diary_of(seen, looks=2)
    diary.budget.record(3.0)
    again = through_a_file(diary, tmp_path)
    for name in ("looks", "epochs", "last_step", "looked_this_epoch", "latest", "news", "layers", "probe"):
        assert getattr(again, name) == getattr(diary, name) != getattr(RunState(OverheadBudget(), "None"), name), name
    assert all(map(torch.equal, again.warm_start.F, diary.warm_start.F))
    assert torch.equal(again.warm_start.predictions, diary.warm_start.predictions)
    assert list(map(to_json, again.history)) == list(map(to_json, diary.history))
    assert (again.budget.total_seconds, again.budget.n_measured, again.budget.max_fraction) == (3.0, 1, 0.1)
    again.record(seen, again.warm_start)
    assert again.state_dict()["past"] == [to_json(look) for look in again.history]


def test_layers_chosen_by_other_patterns_are_not_taken_over(seen, tmp_path):
    assert through_a_file(diary_of(seen), tmp_path, patterns="['conv*']").layers == []


def test_memories_of_other_samples_go(seen):
    diary = diary_of(seen)
    assert diary.update_probe(seen.images.clone())
    assert diary.warm_start.F is not None
    assert not diary.update_probe(seen.images + 1e-6)
    assert diary.warm_start == WarmStart()
    assert diary.update_probe(seen.images + 1e-6)


def test_a_checkpoint_keeps_the_last_looks_of_a_long_run(seen, tmp_path):
    again = through_a_file(diary_of(seen, looks=MAX_HISTORY + 3), tmp_path)
    assert len(again.history) == MAX_HISTORY
    assert again.n_measured == MAX_HISTORY + 3


def test_a_look_that_failed_leaves_the_last_values_and_no_news(seen):
    diary = diary_of(seen)
    diary.publish(None)
    assert diary.metrics == {"factorlens/seconds": 1.5}
    assert diary.epoch_metrics == {}
    assert not diary.measured_this_epoch
