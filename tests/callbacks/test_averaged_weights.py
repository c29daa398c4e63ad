"""LabelFreeStopping(restore_best="average"): which average of the weights `fit` ends with."""

import copy
from dataclasses import dataclass

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scheduled_training import lens as make_lens
from training import Net, Snapshot, loaders, train

from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.callbacks import _averaged_weights, label_free_stopping
from lightning_factorlens.callbacks._weight_average import WeightAverage
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.stopping import Decision, Rule


@dataclass(frozen=True)
class Best(Rule):
    """A rule whose best epochs are given; it stops two epochs after the last of them."""

    epochs: tuple

    def start(self):
        return {"best": None}

    def step(self, state, value, info):
        best = info.epoch if info.epoch in self.epochs else state["best"]
        return {"best": best}, Decision(best is not None and info.epoch >= best + 2, best, value, "as planned")


class Copies(Callback):
    """Copies the module's state at the end of every epoch."""

    def __init__(self):
        self.epochs = {}

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs[trainer.current_epoch + 1] = copy.deepcopy(pl_module.state_dict())


def lens():
    return make_lens(measurements=[Consistency()])


def stopping(*epochs, **options):
    return LabelFreeStopping(**{"rule": Best(epochs), "restore_best": "average", "verbose": False, **options})


def average(copies, last):
    """Epoch s has the weight s (s + 1) of the polynomial average with exponent 2."""
    shares = {epoch: epoch * (epoch + 1) for epoch in range(1, last + 1)}
    result = {}
    for name, value in copies.epochs[last].items():
        result[name] = value
        if value.is_floating_point():
            total = sum(share * copies.epochs[epoch][name].double() for epoch, share in shares.items())
            result[name] = (total / sum(shares.values())).to(value.dtype)
    return result


def alike(found, expected):
    return found.keys() == expected.keys() and all(
        torch.allclose(found[k].double(), v.double(), rtol=1e-5, atol=1e-7) for k, v in expected.items()
    )


@pytest.mark.parametrize(
    ("best", "mode", "last"),
    [((2,), "stop", 4), ((1, 2), "advise", 7), ((2, 5), "advise", 8)],
    ids=["stopped", "five-after-the-best", "a-later-best"],
)
def test_the_module_ends_with_the_average_up_to_five_epochs_after_the_best(tmp_path, best, mode, last):
    copies = Copies()
    stop = stopping(*best, mode=mode)
    trainer, module = train(tmp_path, lens(), stop, copies, epochs=8)
    assert trainer.current_epoch == (last if mode == "stop" else 8)
    assert alike(module.state_dict(), average(copies, last))
    assert stop.best_epoch == last
    assert alike(torch.load(stop.best_weights_path)["state_dict"], average(copies, last))
    assert [path.suffix for path in tmp_path.rglob("*-average-*")] == [".pt"]


def test_the_training_is_the_same_with_the_average(tmp_path):
    plain, averaged = Snapshot(), Snapshot()
    train(tmp_path / "a", lens(), stopping(2, restore_best=False), plain, epochs=4)
    train(tmp_path / "b", lens(), stopping(2), averaged, epochs=4)
    assert all(torch.equal(value, averaged.weights[name]) for name, value in plain.weights.items())
    assert torch.equal(plain.random[0], averaged.random[0])


def test_a_resumed_run_goes_on_with_the_average_of_its_checkpoint(tmp_path):
    copies = Copies()
    keep = ModelCheckpoint(tmp_path / "kept", "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    train(tmp_path / "a", lens(), stopping(5), copies, keep, epochs=4, enable_checkpointing=True)
    module = Net()
    trainer = Trainer(
        max_epochs=6, callbacks=[lens(), stopping(5), copies], logger=False, accelerator="cpu",
        default_root_dir=tmp_path / "b", enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, *loaders(), ckpt_path=tmp_path / "kept" / "epoch=2.ckpt")
    assert alike(module.state_dict(), average(copies, 6))


class Diverging(Net):
    """Its mask is infinite from the beginning, and its weights become NaN in the fourth epoch."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return loss * torch.nan if self.current_epoch >= 3 else loss


def test_an_epoch_with_weights_that_are_not_finite_is_not_averaged(tmp_path):
    copies = Copies()
    with pytest.warns(UserWarning, match="training losses since the last observation were NaN or infinite"):
        _, module = train(tmp_path, lens(), stopping(2, mode="advise"), copies, module=Diverging(), epochs=6)
    expected = average(copies, 3)
    mask = expected.pop("mask")
    found = {name: value for name, value in module.state_dict().items() if name in expected}
    floating = [name for name, value in found.items() if value.is_floating_point()]
    assert alike({name: found[name] for name in floating}, {name: expected[name] for name in floating})
    assert torch.equal(module.mask, mask.triu(1))


def test_complex_weights_are_averaged():
    average = WeightAverage()
    for value in (1.0 + 2.0j, 5.0 - 2.0j):
        average.update({"w": torch.full((2,), value)})
    assert torch.equal(average.in_place_of({"w": torch.zeros(2) + 0j})["w"], torch.full((2,), 4.0 - 1.0j))


def test_weights_that_cannot_be_averaged_leave_the_module_as_it_is(tmp_path):
    module, last = Net(), Snapshot()
    module.register_buffer("graph", torch.eye(2).to_sparse())  # torch.lerp has no sparse variant
    with pytest.warns(UserWarning, match="could not average the weights of epoch 1"):
        train(tmp_path, lens(), stopping(2), last, module=module, epochs=3)
    weights = {name: value for name, value in module.state_dict().items() if name != "graph"}
    assert all(torch.equal(value, last.weights[name]) for name, value in weights.items())


class Renaming(Callback):
    """Renames a layer after training, like callbacks that make pruning permanent."""

    def on_train_end(self, trainer, pl_module):
        pl_module.pruned = pl_module.head
        del pl_module.head


def test_weights_that_were_renamed_after_training_do_not_end_it_with_an_error(tmp_path):
    with pytest.warns(UserWarning, match="could not keep the weights of epoch 2.* has 'head.bias', which the module"):
        trainer, _ = train(tmp_path, lens(), stopping(2), Renaming(), epochs=2)
    assert trainer.state.finished


@pytest.mark.parametrize("restore_best", [True, "average"])
def test_without_a_best_epoch_no_weights_are_restored_and_the_words_say_so(tmp_path, monkeypatch, restore_best):
    said = []
    monkeypatch.setattr(label_free_stopping, "rank_zero_info", said.append)
    last = Snapshot()
    stop = stopping(restore_best=restore_best, verbose=True)
    _, module = train(tmp_path, lens(), stop, last, epochs=2)
    assert all(torch.equal(value, last.weights[name]) for name, value in module.state_dict().items())
    assert stop.best_epoch is None
    assert said == [f"LabelFreeStopping restores no weights, because no epoch has been the best of {stop.monitor}."]


@pytest.mark.parametrize(("epochs", "end"), [(4, 4), (8, 7)])
def test_the_words_say_where_the_average_ends(tmp_path, monkeypatch, epochs, end):
    said = []
    monkeypatch.setattr(label_free_stopping, "rank_zero_info", said.append)
    stop = stopping(2, mode="advise", verbose=True)
    train(tmp_path, lens(), stop, epochs=epochs)
    expected = f"restores the average of the weights up to epoch {end}, where epoch 2 is the best of {stop.monitor}."
    assert said == [f"LabelFreeStopping {expected}"]


def test_what_cannot_be_averaged_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(_averaged_weights, "is_whole", lambda trainer: False)
    with pytest.raises(MisconfigurationException, match="restore_best='average'. needs all weights in each process"):
        train(tmp_path, lens(), stopping(2), epochs=1)
    with pytest.raises(ValueError, match="restore_best: must be True, False or 'average', found 'mean'"):
        LabelFreeStopping(restore_best="mean")
