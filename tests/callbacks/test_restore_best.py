"""LabelFreeStopping(restore_best=True): which weights `fit` ends with, and which files it leaves."""

import copy
import errno
import logging
import os
import warnings
from dataclasses import dataclass

import pytest
import torch
from factorization_checks import needs_cuda
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.callbacks import __all__ as all_callbacks
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scheduled_training import lens as make_lens
from torch import nn
from training import Net, Snapshot, loaders, train
from versions import lightning_ends_a_resumed_epoch, torch_compiles_logging

from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.callbacks import _weights_store
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.stopping import Decision, Rule


def lens(**options):
    """A lens that measures what is monitored, and nothing else."""
    return make_lens(measurements=[Consistency()], **options)


@dataclass(frozen=True)
class Best(Rule):
    """A rule whose best epochs are given; it stops ``wait`` epochs after the last of them."""

    epochs: tuple
    wait: int = 1000

    def start(self):
        return {"best": None}

    def step(self, state, value, info):
        best = info.epoch if info.epoch in self.epochs else state["best"]
        stop = best is not None and info.epoch >= best + self.wait
        return {"best": best}, Decision(stop, best, value, "as planned")


class Copies(Callback):
    """Copies the state of the module after each observation, independently of the package, and at the training's end."""

    def __init__(self, every_n_steps=None):
        self.every_n_steps = every_n_steps
        self.at = {}

    def on_train_batch_end(self, trainer, pl_module, *_):
        n = self.every_n_steps
        if n is not None and trainer.global_step % n == 0:
            self.at[trainer.current_epoch + 1] = copy.deepcopy(pl_module.state_dict())

    def on_train_epoch_end(self, trainer, pl_module):
        if self.every_n_steps is None:
            self.at[trainer.current_epoch + 1] = copy.deepcopy(pl_module.state_dict())

    def on_train_end(self, trainer, pl_module):
        self.last = copy.deepcopy(pl_module.state_dict())
        self.optimizer = copy.deepcopy(trainer.optimizers[0].state_dict())


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def stopping(*epochs, **options):
    return LabelFreeStopping(**{"rule": Best(epochs), "restore_best": True, "verbose": False, **options})


def kept_files(folder):
    return sorted(path for path in folder.rglob("*") if path.name.endswith((".pt", ".part")))


def fit(tmp_path, *callbacks, epochs=5, **options):
    return train(tmp_path, lens(), *callbacks, epochs=epochs, **options)


# ---- what is restored


@pytest.mark.parametrize("mode", ["advise", "stop", "lr"])
def test_fit_ends_with_the_weights_of_the_rules_best_epoch_bit_for_bit(tmp_path, mode, caplog):
    copies, stop = Copies(), stopping(1, 3, rule=Best((1, 3), wait=2), mode=mode, verbose=True)
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        trainer, module = fit(tmp_path, copies, stop, epochs=8)
    assert trainer.current_epoch == (5 if mode == "stop" else 8)
    assert same(module.state_dict(), copies.at[3])
    assert not same(copies.last, copies.at[3])
    assert stop.best_epoch == 3
    assert kept_files(tmp_path) == [tmp_path / "checkpoints" / os.path.basename(stop.best_weights_path)]
    assert caplog.text.count("restores the weights of epoch 3, the best of factorlens/accuracy_signal.") == 1
    assert caplog.text.count("Its weights are restored when `fit` ends.") == (mode == "stop")


def test_the_training_is_the_same_with_and_without_it(tmp_path):
    runs = []
    for name, restore_best in (("a", False), ("b", True)):
        copies, snapshot = Copies(), Snapshot()
        stop = stopping(2, restore_best=restore_best)
        _, module = fit(tmp_path / name, copies, snapshot, stop)
        runs.append((copies, snapshot, module))
    (plain, one, end), (_, two, restored) = runs
    assert same(one.weights, two.weights)
    assert str(one.optimizer) == str(two.optimizer)
    assert all(torch.equal(a, b) for a, b in zip(tensors(one.optimizer), tensors(two.optimizer)))
    assert torch.equal(one.random[0], two.random[0])
    assert one.random[1:] == two.random[1:]
    assert same(end.state_dict(), one.weights)
    assert same(restored.state_dict(), plain.at[2])
    assert kept_files(tmp_path / "a") == []


def tensors(optimizer):
    return [value for state in optimizer["state"].values() for value in state.values()]


def test_without_it_nothing_is_kept_and_the_state_is_as_before(tmp_path):
    stop = stopping(2, restore_best=False)
    fit(tmp_path, stop, epochs=3)
    assert (stop.best_epoch, stop.best_weights_path) == (None, None)
    assert "weights" not in stop.state_dict()


def test_weights_that_are_the_best_at_the_end_are_left_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_weights_store.WholeWeightsStore, "load", lambda *_: 1 / 0)
    copies, stop = Copies(), stopping(1, 5, verbose=True)
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        _, module = fit(tmp_path, copies, stop)
    assert same(module.state_dict(), copies.last)
    assert stop.best_epoch == 5
    assert (
        "leaves the weights as they are: the last epoch, 5, is the best of factorlens/accuracy_signal." in caplog.text
    )
    assert len(kept_files(tmp_path)) == 1


def test_nothing_is_restored_where_no_observation_was_the_best(tmp_path):
    copies, stop = Copies(), stopping()
    _, module = fit(tmp_path, copies, stop, epochs=2)
    assert same(module.state_dict(), copies.last)
    assert kept_files(tmp_path) == []
    assert (stop.best_epoch, stop.best_weights_path) == (None, None)


@pytest.mark.parametrize("first", [True, False], ids=["lens-first", "stop-first"])
def test_with_observations_within_epochs_the_last_one_of_the_best_epoch_counts(tmp_path, first):
    copies, stop = Copies(every_n_steps=3), stopping(2, 3)
    callback = lens(every_n_train_steps=3)
    order = [callback, stop] if first else [stop, callback]
    _, module = train(tmp_path, *order, copies, epochs=5)  # 4 batches an epoch: observed at steps 3, 6, 9, 12, …
    assert same(module.state_dict(), copies.at[3])
    assert len(kept_files(tmp_path)) == 1


def test_weights_that_a_hook_changes_after_the_observation_are_not_kept(tmp_path):
    class Changed(Net):
        def on_train_epoch_end(self):
            self.observed = copy.deepcopy(self.state_dict()) if self.current_epoch == 1 else self.observed
            with torch.no_grad():
                self.head.bias += 1

        observed = None

    stop = stopping(2)
    _, module = fit(tmp_path, stop, module=Changed(), epochs=4)
    assert same(module.state_dict(), module.observed)


# ---- kinds of modules


class Tied(Net):
    """Tied, frozen and normalised weights, a parametrization, and an extra state that is no tensor."""

    def __init__(self):
        super().__init__()
        self.tied = nn.Linear(8, 3)
        self.tied.weight = self.head.weight
        self.head = nn.utils.parametrizations.weight_norm(self.head)
        self.conv1.requires_grad_(False)
        self.conv2 = torch.compile(self.conv2, backend="eager")

    def get_extra_state(self):
        return slice(1, 2)

    def set_extra_state(self, state):
        assert state == slice(1, 2)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
def test_all_kinds_of_weights_are_restored_in_any_precision(tmp_path, precision):
    class Comparing(Copies):
        def on_train_epoch_end(self, trainer, pl_module):
            state = copy.deepcopy(pl_module.state_dict())
            state.pop("_extra_state")
            self.at[trainer.current_epoch + 1] = state

    copies, module = Comparing(), Tied()
    train(tmp_path, lens(), copies, stopping(2), epochs=3, module=module, precision=precision)
    found = module.state_dict()
    found.pop("_extra_state")
    assert same(found, copies.at[2])
    assert not same(copies.at[3], copies.at[2])
    assert not module.conv1.weight.requires_grad
    assert int(module.norm.num_batches_tracked) == 8


@pytest.mark.slow
@torch_compiles_logging
def test_a_compiled_module_is_restored(tmp_path):
    module, copies = Net(), Copies()
    compiled = torch.compile(module, backend="eager")
    trainer = Trainer(
        max_epochs=2, callbacks=[lens(), copies, stopping(1)], logger=False, default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(compiled, *loaders())
    assert same(module.state_dict(), copies.at[1])


def test_the_file_can_be_tested_like_a_checkpoint(tmp_path):
    class Tested(Net):
        def test_step(self, batch, batch_idx):
            pass

        def on_save_checkpoint(self, checkpoint):
            raise AssertionError("the file is not the user's checkpoint")

    copies, stop = Copies(), stopping(1)
    trainer, _ = fit(tmp_path, copies, stop, module=Tested(), epochs=2)
    fresh = Tested()
    trainer.test(fresh, loaders()[1], ckpt_path=stop.best_weights_path, verbose=False)
    assert same(fresh.state_dict(), copies.at[1])


# ---- files


def test_the_file_lies_beside_the_checkpoints(tmp_path):
    stop = stopping(1)
    fit(tmp_path / "a", stop, ModelCheckpoint(tmp_path / "mine"), epochs=2, enable_checkpointing=True)
    assert os.path.dirname(stop.best_weights_path) == str(tmp_path / "mine")
    logger = CSVLogger(tmp_path / "b", name="name")
    fit(tmp_path / "b", stop, logger=logger, epochs=2)
    assert os.path.dirname(stop.best_weights_path) == str(tmp_path / "b" / "name" / "version_0" / "checkpoints")
    fit(tmp_path, stop, logger=False, default_root_dir=tmp_path / "c", epochs=2)
    assert os.path.dirname(stop.best_weights_path) == str(tmp_path / "c" / "checkpoints")


def test_two_instances_and_two_runs_in_one_folder_have_files_of_their_own(tmp_path):
    ends = []
    for best in (1, 2):
        copies, one, two = Copies(), stopping(best), stopping(best + 1, tag_name="other")
        _, module = fit(tmp_path, copies, one, two, epochs=4, logger=False, default_root_dir=tmp_path)
        assert same(module.state_dict(), copies.at[best + 1])  # the later one restores last
        assert same(torch.load(one.best_weights_path)["state_dict"], copies.at[best])
        ends += [one.best_weights_path, two.best_weights_path]
    assert sorted(map(str, kept_files(tmp_path))) == sorted(ends)


def test_a_second_fit_is_another_run_and_one_that_goes_on_keeps_the_best(tmp_path):
    copies, stop = Copies(), stopping(2)
    trainer, module = fit(tmp_path, copies, stop, epochs=3)
    first = stop.best_weights_path
    trainer.fit_loop.max_epochs = 5
    trainer.fit(module, *loaders())
    assert stop.best_weights_path == first
    assert same(module.state_dict(), copies.at[2])
    assert not same(copies.last, copies.at[2])
    _, other = fit(tmp_path, copies, stop, epochs=3)
    assert stop.best_weights_path != first
    assert same(other.state_dict(), copies.at[2])
    assert len(kept_files(tmp_path)) == 2  # one a run


def test_a_fit_that_trains_nothing_restores_nothing(tmp_path):
    stop = stopping(2)
    trainer, module = fit(tmp_path, stop, epochs=3)
    with torch.no_grad():
        module.head.bias.fill_(7)
    trainer.fit(module, *loaders())  # max_epochs is reached
    assert bool((module.head.bias == 7).all())


def test_a_fast_development_run_writes_nothing(tmp_path):
    stop = stopping(1)
    fit(tmp_path, stop, fast_dev_run=True, default_root_dir=tmp_path)
    assert kept_files(tmp_path) == []
    assert stop.best_epoch is None


def test_an_exception_leaves_the_weights_of_the_training_and_the_file(tmp_path):
    class Failing(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 3:
                raise RuntimeError("the user's error")

    copies, stop, module = Copies(), stopping(1), Net()
    with pytest.raises(RuntimeError, match="the user's error"):
        fit(tmp_path, copies, stop, Failing(), module=module)
    assert same(module.state_dict(), copies.at[3])
    assert same(torch.load(stop.best_weights_path)["state_dict"], copies.at[1])


# ---- failures


def test_a_failure_to_write_is_reported_once_and_nothing_false_is_restored(tmp_path, monkeypatch):
    save, calls = torch.save, []

    def full(content, file, *rest, **options):
        if getattr(file, "name", "").endswith(".part"):
            calls.append(content["epoch"] + 1)
            if content["epoch"] > 0:
                file.write(b"something")
                raise OSError(errno.ENOSPC, "No space left on device")
        return save(content, file, *rest, **options)

    monkeypatch.setattr(torch, "save", full)
    copies, stop = Copies(), stopping(1, 2, 3)
    with pytest.warns(UserWarning, match="could not keep the weights of epoch 2: OSError: .*No space left") as caught:
        trainer, module = fit(tmp_path, copies, stop)
    assert trainer.current_epoch == 5
    assert calls == [1, 2, 3]
    assert sum("Further failures are not reported" in str(each.message) for each in caught) == 1
    assert same(module.state_dict(), copies.last)  # not epoch 1: epochs 2 and 3 were better
    assert stop.best_epoch is None
    assert kept_files(tmp_path) == []


class Damage(Callback):
    """Damages the file that a callback has kept."""

    def __init__(self, stop, damage):
        self.stop = stop
        self.damage = damage

    def on_train_end(self, trainer, pl_module):
        self.damage(self.stop.best_weights_path)


def test_a_file_that_was_damaged_or_removed_meanwhile_is_reported_at_the_end(tmp_path):
    for damage, reason in ((os.remove, "there is no file"), (cut, "cannot be read")):
        copies, stop = Copies(), stopping(1)
        with pytest.warns(UserWarning, match=f"could not restore the weights of epoch 1: .*{reason}"):
            _, module = fit(tmp_path, copies, stop, Damage(stop, damage), epochs=2)
        assert same(module.state_dict(), copies.last)


def cut(path):
    with open(path, "r+b") as file:
        file.truncate(100)


def test_a_module_that_has_changed_its_weights_since_is_left_as_it_is(tmp_path):
    class Growing(Net):
        def on_train_epoch_start(self):
            if self.current_epoch == 2:
                self.new = nn.Linear(2, 2)

    copies, stop = Copies(), stopping(1)
    with pytest.warns(UserWarning, match=r"belongs to another model: only the module has 'new\.bias'"):
        _, module = fit(tmp_path, copies, stop, module=Growing(), epochs=3)
    assert same(module.state_dict(), copies.last)


@pytest.mark.filterwarnings("ignore:FactorLens does not call the callback")
@pytest.mark.parametrize("name", ["EMAWeightAveraging", "StochasticWeightAveraging"])
def test_averaged_weights_are_not_replaced(tmp_path, name):
    if name not in all_callbacks:
        pytest.skip("this version of Lightning does not have the callback")
    import lightning.pytorch.callbacks

    averaging = StochasticWeightAveraging(0.1) if name[0] == "S" else getattr(lightning.pytorch.callbacks, name)()
    with pytest.raises(MisconfigurationException, match=f"restore_best=True.* and {name} both give .*Remove {name}"):
        fit(tmp_path, averaging, stopping(1))
    fit(tmp_path, averaging, stopping(1, restore_best=False), epochs=1)


def test_a_wrong_argument_is_named():
    with pytest.raises(ValueError, match="restore_best: must be True, False or 'average', found 'yes'"):
        LabelFreeStopping(restore_best="yes")


# ---- resumed runs

#: In these tests a run is resumed with another rule, of which the callback warns.
OTHER_RULE = pytest.mark.filterwarnings("ignore:LabelFreeStopping. the checkpoint's rule was")


def resumed(tmp_path, checkpoint, *callbacks, epochs=6, module=None, every=None):
    module = module or Net()
    trainer = Trainer(
        max_epochs=epochs, callbacks=[lens(every_n_train_steps=every), *callbacks], logger=False, accelerator="cpu",
        default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, *loaders(), ckpt_path=checkpoint)
    return module


class Interrupt(Callback):
    """Fails in the epoch after the given one, as a run does that is killed."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise RuntimeError("interrupted")


class SaveAt(Callback):
    """Saves a checkpoint in the given epochs, before or after the epoch's end."""

    def __init__(self, folder, *epochs):
        self.folder = folder
        self.epochs = epochs

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch in self.epochs:
            trainer.save_checkpoint(self.folder / f"{trainer.current_epoch}.ckpt")


def interrupted(tmp_path, *best, saved=(3,), until=4, stop=None):
    """A run in `tmp_path` whose checkpoints were written after the epochs ``saved``, interrupted after ``until``."""
    copies = Copies()
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(
            tmp_path, copies, stop or stopping(*best), SaveAt(tmp_path, *saved), Interrupt(until),
            epochs=6, logger=False, default_root_dir=tmp_path,
        )  # fmt: skip
    return copies


def test_a_resumed_run_restores_what_the_killed_one_has_kept(tmp_path):
    copies = interrupted(tmp_path, 2)
    stop = stopping(2)
    module = resumed(tmp_path, tmp_path / "3.ckpt", stop)
    assert same(module.state_dict(), copies.at[2])
    assert stop.best_epoch == 2
    assert list(map(str, kept_files(tmp_path))) == [stop.best_weights_path]


@OTHER_RULE
def test_the_file_of_the_last_checkpoint_outlives_a_better_one_until_the_end(tmp_path):
    copies = interrupted(tmp_path, 2, 4, saved=(3,), until=4)  # the checkpoint names epoch 2, epoch 4 came after it
    assert len(kept_files(tmp_path)) == 2
    stop = stopping(2)  # this time epoch 4 is not better
    module = resumed(tmp_path, tmp_path / "3.ckpt", stop)
    assert same(module.state_dict(), copies.at[2])
    assert list(map(str, kept_files(tmp_path))) == [stop.best_weights_path]  # that of epoch 4 is gone


def test_a_file_is_removed_once_a_later_checkpoint_names_another(tmp_path):
    interrupted(tmp_path, 1, 2, 3, saved=(1, 2), until=2)
    assert len(kept_files(tmp_path)) == 2
    names = [path.name for path in kept_files(tmp_path)]
    assert [name.split("epoch=")[1][0] for name in names] == ["1", "2"]
    interrupted(tmp_path / "b", 1, 2, 3, saved=(1, 2), until=3)
    names = [path.name for path in kept_files(tmp_path / "b")]
    assert [name.split("epoch=")[1][0] for name in names] == ["2", "3"]


@OTHER_RULE
def test_a_better_epoch_after_the_resume_replaces_the_file(tmp_path):
    interrupted(tmp_path, 2)
    copies, stop = Copies(), stopping(2, 5)
    module = resumed(tmp_path, tmp_path / "3.ckpt", copies, stop)
    assert same(module.state_dict(), copies.at[5])
    assert list(map(str, kept_files(tmp_path))) == [stop.best_weights_path]


def test_a_run_whose_folder_was_moved_finds_its_file_beside_the_checkpoint(tmp_path):
    copies = interrupted(tmp_path / "old", 2)
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "new" / "3.ckpt").rename(tmp_path / "new" / "checkpoints" / "3.ckpt")
    stop = stopping(2)
    module = resumed(tmp_path / "new", tmp_path / "new" / "checkpoints" / "3.ckpt", stop)
    assert same(module.state_dict(), copies.at[2])
    assert os.path.exists(stop.best_weights_path)


@pytest.mark.parametrize("later", [False, True])
def test_a_missing_file_is_reported_at_the_start_and_only_a_later_one_is_restored(tmp_path, later):
    interrupted(tmp_path, 2)
    kept_files(tmp_path)[0].unlink()
    copies, stop = Copies(), stopping(2, *([5] if later else []))
    with pytest.warns(UserWarning, match=r"weights of epoch 2, the best so far, cannot be restored: there is no file"):
        module = resumed(tmp_path, tmp_path / "3.ckpt", copies, stop)
    assert same(module.state_dict(), copies.at[5] if later else copies.last)
    assert stop.best_epoch == (5 if later else None)


def test_a_file_of_another_model_is_neither_restored_nor_removed(tmp_path):
    interrupted(tmp_path, 2)
    path = kept_files(tmp_path)[0]
    content = torch.load(path)
    content["state_dict"]["head.weight"] = torch.zeros(2, 2)
    torch.save(content, path)
    copies, stop = Copies(), stopping(2)
    reason = r"belongs to another model: 'head\.weight' has shape \(2, 2\), in the module \(3, 8\)"
    with pytest.warns(UserWarning, match=reason):
        module = resumed(tmp_path, tmp_path / "3.ckpt", copies, stop)
    assert same(module.state_dict(), copies.last)
    assert kept_files(tmp_path) == [path]


def test_a_checkpoint_of_a_run_without_it_names_no_file(tmp_path):
    interrupted(tmp_path, stop=stopping(2, restore_best=False))
    copies, stop = Copies(), stopping(2)
    with pytest.warns(UserWarning, match="epoch 2.* was written without restore_best=True, and names no file"):
        module = resumed(tmp_path, tmp_path / "3.ckpt", copies, stop)
    assert same(module.state_dict(), copies.last)


def test_the_average_of_another_run_is_not_taken_for_the_weights_of_its_last_epoch(tmp_path):
    first = stopping(3, restore_best="average")
    train(tmp_path, lens(), first, epochs=3)[0].save_checkpoint(tmp_path / "3.ckpt")
    copies, stop = Copies(), stopping(3)
    with pytest.warns(UserWarning, match="epoch 3.* was written without restore_best=True, and names no file"):
        module = resumed(tmp_path, tmp_path / "3.ckpt", copies, stop)
    assert same(module.state_dict(), copies.last)
    assert os.path.exists(first.best_weights_path)


def test_a_run_without_it_goes_on_from_a_checkpoint_with_it(tmp_path):
    interrupted(tmp_path, 2)
    copies = Copies()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*LabelFreeStopping")
        module = resumed(tmp_path, tmp_path / "3.ckpt", copies, stopping(2, restore_best=False))
    assert same(module.state_dict(), copies.last)
    assert len(kept_files(tmp_path)) == 1


# ---- observations within epochs, and epochs whose end is made up for after a resume


class SaveAtStep(Callback):
    """Saves a checkpoint and fails at the end of the given step, before or after the lens has observed."""

    def __init__(self, folder, step):
        self.folder = folder
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.folder / "step.ckpt")
            raise RuntimeError("interrupted")


@pytest.mark.parametrize("step", [6, 7, 8, 9])
@pytest.mark.parametrize("best", [2, 3])
def test_observations_within_epochs_survive_a_checkpoint_in_the_middle_of_one(tmp_path, step, best):
    copies = Copies(every_n_steps=3)  # 4 batches an epoch: the second has an observation at step 6, the third at 9, 12
    callbacks = [stopping(best), lens(every_n_train_steps=3), copies, SaveAtStep(tmp_path, step)]
    with pytest.raises(RuntimeError, match="interrupted"):
        train(tmp_path, *callbacks, logger=False, default_root_dir=tmp_path)
    stop = stopping(best)
    module = resumed(tmp_path, tmp_path / "step.ckpt", copies, stop, epochs=4, every=3)
    assert same(module.state_dict(), copies.at[best])
    assert list(map(str, kept_files(tmp_path))) == [stop.best_weights_path]


@lightning_ends_a_resumed_epoch
@pytest.mark.parametrize("first", [True, False], ids=["lens-first", "stop-first"])
def test_the_weights_of_an_epoch_whose_end_comes_after_the_resume_are_kept(tmp_path, first):
    """Lightning resumes behind the end of an epoch whose last batch wrote the checkpoint."""
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(tmp_path, stopping(1, 2), SaveAtStep(tmp_path, 8), logger=False, default_root_dir=tmp_path)
    stop, callback = stopping(1, 2), lens()
    trainer = Trainer(
        max_epochs=4, callbacks=[callback, stop] if first else [stop, callback], logger=False, accelerator="cpu",
        default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    module = Net()
    trainer.fit(module, *loaders(), ckpt_path=tmp_path / "step.ckpt")
    assert stop.best_epoch == 2
    assert same(module.state_dict(), torch.load(tmp_path / "step.ckpt", weights_only=True)["state_dict"])


@needs_cuda
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_weights_on_a_gpu_are_restored_there_bit_for_bit(tmp_path, precision):
    copies, stop = Copies(), stopping(2)
    _, module = fit(tmp_path, copies, stop, epochs=4, accelerator="gpu", devices=1, precision=precision)
    assert same(
        {name: value.cpu() for name, value in copies.at[2].items()},
        {name: value.cpu() for name, value in module.state_dict().items()},
    )
    assert stop.best_epoch == 2
