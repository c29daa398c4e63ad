"""Some set-ups of the bitwise identity check, and tests that its comparison finds what a careless callback changes."""

import random

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from benchmarks.safety.bitwise_identity.compare import IDENTICAL, compare, compare_in_subprocess, differences
from benchmarks.safety.bitwise_identity.setups import KINDS, SetUp, every_pair, possible
from benchmarks.safety.bitwise_identity.train import train

SETUPS = (
    SetUp("cnn", "bf16-mixed", augmentation="numpy", validation="twice an epoch", lens="two and a stop"),
    SetUp("frozen norm", averaging="ema", optimizer="adamw", schedule="one cycle", accumulate=2),
    SetUp("noisy", "64-true", augmentation="python", workers=2, lens="every 2 steps"),
    SetUp("gan", optimizer="adam", schedule="step", validation="none", resume=True),
    SetUp("vit", averaging="swa", lens="resampled", augmentation="torch"),
    SetUp("buffers", optimizer="lbfgs", schedule="plateau", resume=True),
    SetUp("checkpointing", compile="net, aot_eager"),
    SetUp("channels last", "bf16-true", optimizer="adam", validation="every 2 epochs"),
)


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_training_with_the_lens_equals_training_without_it_bit_for_bit(setup, tmp_path, quiet):
    row = compare(setup, tmp_path / "run")
    assert row["result"] == IDENTICAL, row["differences"]
    assert row["measurements"] >= 2


@pytest.mark.slow
def test_training_on_two_processes_is_unchanged_bit_for_bit(tmp_path):
    row = compare_in_subprocess(SetUp("dropout", devices=2, augmentation="python"), tmp_path / "run")
    assert row["result"] == IDENTICAL, row["differences"]


class Thaws(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.eval()
        pl_module.train()


class Draws(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        random.random()


class Forgets(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.net[0].register_forward_hook(lambda *_: None)


class Moves(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.net[1].running_mean += 1e-7


class Fetches(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        next(iter(trainer.val_dataloaders))


@pytest.mark.parametrize(
    ("careless", "changed"),
    [(Thaws, "flags"), (Draws, "random/python"), (Forgets, "hooks"), (Moves, "weights"), (Fetches, "logged")],
)
def test_the_change_of_a_careless_callback_is_found(careless, changed, tmp_path, quiet):
    setup = SetUp("frozen norm")
    without = train(setup, tmp_path / "run", list)
    with_callback = train(setup, tmp_path / "run", lambda: [careless()])
    assert any(path.startswith(f"/0/{changed}") for path in differences(without, with_callback))


def test_a_difference_of_one_bit_is_found():
    a = {"x": [torch.zeros(3), {"y": 1}], "z": (np.arange(3), 0.5, float("nan"))}
    b = {"x": [torch.tensor([0.0, -0.0, 0.0]), {"y": 1, "w": 2}], "z": (np.arange(3), 0.5, float("nan"))}
    assert list(differences(a, a)) == []
    assert list(differences(a, b)) == ["/x/0", "/x/1/w"]
    assert list(differences(torch.zeros(2), torch.zeros(2).double())) == [""]


def test_any_two_settings_occur_together_in_some_setup():
    setups = every_pair()
    assert len(setups) >= 60
    assert all(possible(s) for s in setups)
    met = set().union(*(s.pairs() for s in setups))
    for kind, values in KINDS.items():
        assert {getattr(s, kind) for s in setups} == set(values)
    assert frozenset([("model", "vit"), ("devices", 2)]) in met
    assert frozenset([("precision", "bf16-mixed"), ("averaging", "swa")]) in met
