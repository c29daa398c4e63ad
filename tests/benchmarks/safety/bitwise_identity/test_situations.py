"""Some situations of the identity check, and tests that each kind of change by a careless callback is found in them."""

import pickle

import pytest
from lightning.pytorch import Callback

from benchmarks.safety.bitwise_identity.compare import IDENTICAL, IMPOSSIBLE, compare, differences
from benchmarks.safety.bitwise_identity.setups import every_pair
from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, Training
from benchmarks.safety.bitwise_identity.situations.registry import SITUATIONS, find_situation
from benchmarks.safety.bitwise_identity.situations.train_situation import train_situation

#: One of every topic; the benchmark compares all.
SOME = (
    "dataset: own numpy Generator",
    "dataset: generator in a closure",
    "dataset: counts and caches its samples",
    "file: opened lazily, no workers, no sanity check",
    "iterable dataset: one source for training and validation",
    "loader: pipeline that is its own iterator",
    "sampler: batch sampler with its own generator",
    "batch: collate function with its own generator",
    "hook: augmentation by generators of the module",
    "state of the model: hidden state",
    "state of the model: lists, dictionaries and queues",
    "weights: low-rank update that eval() merges",
    "output: variational autoencoder",
    "call: forward(**batch)",
    "run: interrupted",
    "run: second Trainer validates the module",
    "failure: sink that cannot write later",
    "failure: out of memory in every observation",
)


pytestmark = pytest.mark.usefixtures("quiet")


#: Those of `SOME` that take several seconds.
LONG = ("failure: out of memory in every observation",)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in SOME])
def test_training_with_the_lens_equals_training_without_it_bit_for_bit(name, tmp_path):
    row = compare(find_situation(name), tmp_path / "run")
    assert row["result"] == IDENTICAL, row["differences"]


def test_there_are_130_setups_of_every_topic():
    assert len(every_pair()) + len(SITUATIONS) >= 130
    assert {s.topic for s in SITUATIONS} == {name.split(":")[0] for name in SOME}


def test_every_situation_is_found_by_its_name_and_in_another_process():
    assert len({str(s) for s in SITUATIONS}) == len(SITUATIONS)
    for situation in SITUATIONS:
        assert find_situation(str(situation)) is situation
        assert pickle.loads(pickle.dumps(situation)) is situation
    with pytest.raises(KeyError, match="no such"):
        find_situation("no such")


class ReadsData(Callback):
    def on_train_start(self, trainer, pl_module):
        trainer.val_dataloaders.dataset[0]


class Iterates(Callback):
    def on_train_start(self, trainer, pl_module):
        next(iter(trainer.val_dataloaders))


class Forwards(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        pl_module(trainer.val_dataloaders.dataset[0][0][None])


class Transfers(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        batch = next(iter(trainer.val_dataloaders))
        trainer.strategy.batch_to_device(batch, pl_module.device)


FOUND = (
    ("dataset: own numpy Generator", ReadsData, "batches"),
    ("dataset: generator in a closure", ReadsData, "objects/data"),
    ("dataset: generator of the class", ReadsData, "objects/named"),
    ("dataset: counts and caches its samples", ReadsData, "objects/data"),
    ("dataset: functools.lru_cache", ReadsData, "objects/data"),
    ("dataset: replays a Python generator", ReadsData, "batches"),
    ("iterable dataset: one source", Iterates, "batches"),
    ("iterable dataset: open file that is read on", Iterates, "objects/named"),
    ("sampler: own generator", Iterates, "batches"),
    ("loader: own class", Iterates, "objects/data"),
    ("batch: collate function with its own generator", Iterates, "objects/data"),
    ("hook: transfer that counts", Transfers, "attributes"),
    ("state of the model: hidden state", Forwards, "attributes"),
    ("state of the model: lists, dictionaries and queues", Forwards, "attributes"),
    ("state of the model: torchmetrics in forward", Forwards, "logged"),
    ("state of the model: generators of the module", Forwards, "attributes"),
    ("state of the model: EMA object", Forwards, "weights"),
)


@pytest.mark.parametrize(("name", "careless", "changed"), FOUND)
def test_the_change_of_a_careless_callback_is_found(name, careless, changed, tmp_path):
    situation = find_situation(name)
    without = train_situation(situation, tmp_path / "run", list)
    with_callback = train_situation(situation, tmp_path / "run", lambda: [careless()])
    assert any(path.startswith(f"/0/{changed}") for path in differences(without, with_callback))


@pytest.mark.parametrize("worker", ["fork", "forkserver"])
def test_a_file_that_a_callback_opens_in_the_main_process_ends_the_training(worker, tmp_path):
    situation = find_situation(f"file: opened lazily, two workers by {worker}, no sanity check")
    with pytest.raises((OSError, TypeError), match="after a fork|cannot be pickled"):
        train_situation(situation, tmp_path / "run", lambda: [ReadsData()])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_steps"), [("run: interrupted", 4), ("run: error of the user", 4)])
def test_a_training_that_an_exception_ends_is_recorded(name, n_steps, tmp_path):
    (record,) = train_situation(find_situation(name), tmp_path / "run", list)
    assert record["checkpoint"]["global_step"] == n_steps


@pytest.mark.slow
def test_a_training_that_does_not_end_as_it_is_meant_to_is_impossible(tmp_path):
    situation = Situation("run", "ends well", lambda _: Training(module=Classifier(), ends_with=ValueError))
    row = compare(situation, tmp_path / "run")
    assert row["result"] == IMPOSSIBLE
    assert "should have ended with ValueError" in row["differences"]


@pytest.mark.slow
def test_a_lens_that_should_fail_and_does_not_is_reported(tmp_path):
    situation = Situation("failure", "none", lambda _: Training(), lens_fails=True)
    assert "did not fail" in compare(situation, tmp_path / "run")["differences"]
