"""What a lens remembers of a run, through a real file, as Lightning loads checkpoints."""

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.budget import Account
from lightning_factorlens.diary import REMEMBERED, Diary
from lightning_factorlens.lens import Memory
from lightning_factorlens.options import LensOptions
from lightning_factorlens.sinks.records import to_json


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return FactorLens(net, LensOptions(ranks=(1, 2))).observe(torch.rand(8, 1, 8, 8))


def diary_of(seen, looks=1, patterns="None"):
    diary = Diary(Account(), patterns)
    for _ in range(looks):
        diary.note(seen, Memory(seen.factorization.F, torch.rand(8, 3)))
    diary.layers, diary.epochs, diary.last_step = ["1"], 4, 7
    diary.tell({"factorlens/seconds": 1.5})
    diary.recognises(seen.images)
    return diary


def through_a_file(diary, tmp_path, patterns="None"):
    torch.save(diary.state_dict(), tmp_path / "state.pt")
    return Diary(Account(0.1), patterns).resumed(torch.load(tmp_path / "state.pt", weights_only=True))


def test_what_is_remembered_comes_back_to_the_bit(seen, tmp_path):
    diary = diary_of(seen, looks=2)
    diary.account.pay(3.0)
    again = through_a_file(diary, tmp_path)
    for name in ("looks", "epochs", "last_step", "looked_this_epoch", "latest", "news", "layers", "probe"):
        assert getattr(again, name) == getattr(diary, name) != getattr(Diary(Account(), "None"), name), name
    assert all(map(torch.equal, again.memory.F, diary.memory.F))
    assert torch.equal(again.memory.predictions, diary.memory.predictions)
    assert list(map(to_json, again.history)) == list(map(to_json, diary.history))
    assert (again.account.spent, again.account.looks, again.account.share) == (3.0, 1, 0.1)
    again.note(seen, again.memory)
    assert again.state_dict()["past"] == [to_json(look) for look in again.history]


def test_layers_chosen_by_other_patterns_are_not_taken_over(seen, tmp_path):
    assert through_a_file(diary_of(seen), tmp_path, patterns="['conv*']").layers == []


def test_memories_of_other_samples_go(seen):
    diary = diary_of(seen)
    assert diary.recognises(seen.images.clone())
    assert diary.memory.F is not None
    assert not diary.recognises(seen.images + 1e-6)
    assert diary.memory == Memory()
    assert diary.recognises(seen.images + 1e-6)


def test_a_checkpoint_keeps_the_last_looks_of_a_long_run(seen, tmp_path):
    again = through_a_file(diary_of(seen, looks=REMEMBERED + 3), tmp_path)
    assert len(again.history) == REMEMBERED
    assert again.looks == REMEMBERED + 3


def test_a_look_that_failed_leaves_the_last_values_and_no_news(seen):
    diary = diary_of(seen)
    diary.tell(None)
    assert diary.latest == {"factorlens/seconds": 1.5}
    assert diary.news == {}
    assert not diary.looked_this_epoch
