"""The lens in every mode of a Trainer: when it observes, at which steps it logs, and that training is unchanged."""

import warnings

import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class Memory(Logger):
    """Keeps all points in the order in which they were logged."""

    name, version = "memory", 0

    def __init__(self):
        super().__init__()
        self.points = []

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        self.points += [(tag, step, value) for tag, value in metrics.items()]

    def steps(self, tag):
        return [step for t, step, _ in self.points if t == tag]


def loader(n=64):
    g = torch.Generator().manual_seed(0)
    return DataLoader(TensorDataset(torch.rand(n, 1, 8, 8, generator=g), torch.randint(0, 3, (n,), generator=g)), 16)


def lens(**options):
    defaults = {"probe_size": 16, "ranks": (1, 2, 4), "fit_power_law": False, "figures_every_n": 0, "verbose": False}
    return make_callback(**{**defaults, **options})


def fit(*callbacks, data=None, module=None, **options):
    torch.manual_seed(0)
    memory = Memory()
    arguments = {
        "max_epochs": 3, "logger": memory, "callbacks": list(callbacks), "enable_progress_bar": False, "accelerator": "cpu",
        "enable_model_summary": False, "enable_checkpointing": False, "log_every_n_steps": 1,
    }  # fmt: skip
    trainer = Trainer(**{**arguments, **options})
    module = module or Net()
    data = (loader(), loader()) if data is None else data
    trainer.fit(module, *data) if isinstance(data, tuple) else trainer.fit(module, datamodule=data)
    weights = torch.cat([p.detach().flatten() for p in module.parameters()])
    return trainer, memory, weights


#: Options of the Trainer, then the steps of the observations.
MODES = {
    "plain": ({}, [0, 3, 7, 11]),
    "no sanity check": ({"num_sanity_val_steps": 0}, [0, 3, 7, 11]),
    "whole sanity check": ({"num_sanity_val_steps": -1}, [0, 3, 7, 11]),
    "half the batches": ({"limit_train_batches": 0.5, "limit_val_batches": 1}, [0, 1, 3, 5]),
    "one batch": ({"limit_train_batches": 1, "limit_val_batches": 0}, [0, 0, 1, 2]),
    "overfitted batches": ({"overfit_batches": 2}, [0, 1, 3, 5]),
    "validation every 2 epochs": ({"check_val_every_n_epoch": 2}, [0, 3, 7, 11]),
    "validation twice an epoch": ({"val_check_interval": 0.5}, [0, 3, 7, 11]),
    "validation every 3 steps": ({"val_check_interval": 3, "check_val_every_n_epoch": None}, [0, 3, 7, 11]),
    "accumulation with a remainder": ({"accumulate_grad_batches": 3}, [0, 1, 3, 5]),
    "steps, no epochs": ({"max_epochs": -1, "max_steps": 10}, [0, 3, 7, 9]),
    "steps that end with an epoch": ({"max_epochs": -1, "max_steps": 8}, [0, 3, 7]),
    "loaders reloaded every epoch": ({"reload_dataloaders_every_n_epochs": 1}, [0, 3, 7, 11]),
    "anomaly detection": ({"detect_anomaly": True}, [0, 3, 7, 11]),
    "gradient clipping": ({"gradient_clip_val": 0.1}, [0, 3, 7, 11]),
    "a minimum of epochs": ({"min_epochs": 2, "max_epochs": 3}, [0, 3, 7, 11]),
    "no training": ({"limit_train_batches": 0}, []),
}


@pytest.mark.parametrize("mode", MODES)
def test_observations_are_logged_at_the_ends_of_epochs_and_training_is_the_same(mode):
    options, expected = MODES[mode]
    _, memory, weights = fit(lens(), **options)
    assert memory.steps("factorlens_total/rmse/rank_2") == expected
    _, alone, unobserved = fit(**options)
    assert torch.equal(weights, unobserved)
    assert alone.points == [p for p in memory.points if not p[0].startswith("factorlens")]
    if expected and "epochs" not in mode:  # the user's epoch-end points have the same steps
        assert memory.steps("train_loss_epoch") == expected[1:]


class Stream(IterableDataset):
    """An iterable dataset without an end."""

    def __iter__(self):
        g = torch.Generator().manual_seed(0)
        while True:
            yield torch.rand(1, 8, 8, generator=g), int(torch.randint(0, 3, (1,), generator=g))


def test_an_endless_stream_is_observed_every_n_steps():
    probe = torch.rand(16, 1, 8, 8)
    data = (DataLoader(Stream(), 16),)
    options = {"max_epochs": -1, "max_steps": 11, "data": data}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="FactorLens")
        _, memory, _ = fit(lens(probe=probe, every_n_train_steps=4), **options)
    assert memory.steps("factorlens_total/rmse/rank_2") == [0, 3, 7]
    with pytest.warns(UserWarning, match="the training loader has no length.*every_n_train_steps=500"):
        _, memory, _ = fit(lens(probe=probe), **options)
    assert memory.steps("factorlens_total/rmse/rank_2") == [0, 10]


class CountObservations(Callback):
    """Number of observations at the ends of the sanity check and of every epoch."""

    def __init__(self, lens):
        self.lens = lens
        self.after_epochs = []
        self.after_sanity_check = []

    def on_sanity_check_end(self, trainer, pl_module):
        self.after_sanity_check.append(self.lens.state.n_measured)

    def on_train_epoch_end(self, trainer, pl_module):
        self.after_epochs.append(self.lens.state.n_measured)


def test_the_sanity_check_is_not_observed():
    observed = lens()
    counts = CountObservations(observed)
    fit(observed, counts, num_sanity_val_steps=2)
    assert counts.after_sanity_check == [0]
    assert counts.after_epochs == [2, 3, 4]


def test_fast_dev_run_observes_once_before_and_once_after():
    observed = lens()
    counts = CountObservations(observed)
    stop = EarlyStopping("factorlens/consistency", check_on_train_epoch_end=True)
    trainer, _, weights = fit(observed, counts, stop, fast_dev_run=True, logger=True)
    assert counts.after_epochs == [2]
    assert "factorlens/consistency" in trainer.callback_metrics
    assert torch.equal(weights, fit(fast_dev_run=True, logger=True)[2])


BARE = {"enable_model_summary": None, "enable_checkpointing": None, "logger": None, "log_every_n_steps": None}


def test_barebones_observes_and_logs_nothing():
    observed = lens()
    options = {**BARE, "enable_progress_bar": None, "barebones": True}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, _, weights = fit(observed, **options)
    assert observed.state.n_measured == 4
    assert observed.metrics["factorlens_total/rmse/rank_2"] > 0
    assert torch.equal(weights, fit(**options)[2])
    logged = [w for w in caught if "`self.log" in str(w.message)]
    assert len(logged) == 12  # the user's own, one for each batch


def test_two_lenses_with_different_cadences_and_probes():
    a = lens(every_n_epochs=2)
    b = lens(prefix="other", every_n_train_steps=3, probe=torch.rand(20, 1, 8, 8), layers="net.0", resample_probe=True)
    stop = EarlyStopping("other_total/rmse/rank_2", patience=1, min_delta=100.0, check_on_train_epoch_end=True)
    trainer, memory, weights = fit(a, b, stop, max_epochs=8)
    assert memory.steps("factorlens_total/rmse/rank_2") == [0, 7]
    assert memory.steps("other_total/rmse/rank_2") == [
        0,
        2,
        5,
    ]  # the first value that EarlyStopping reads is the baseline's
    assert trainer.current_epoch == 2
    assert torch.equal(weights, fit(max_epochs=2)[2])


def test_a_prefix_used_twice_is_refused():
    with pytest.raises(RuntimeError, match="FactorLensCallback"):
        fit(lens(), lens())


def test_a_longer_second_fit_continues_and_a_new_one_starts_a_new_run():
    observed, memory = lens(), Memory()
    trainer, _, _ = fit(observed, logger=memory, max_epochs=2)
    trainer.fit_loop.max_epochs = 4
    trainer.fit(trainer.lightning_module, loader(), loader())
    assert memory.steps("factorlens_total/rmse/rank_2") == [0, 3, 7, 11, 15]
    assert observed.state.n_measured == 5
    _, memory, _ = fit(observed, max_epochs=1)
    assert memory.steps("factorlens_total/rmse/rank_2") == [0, 3]


class Data(LightningDataModule):
    def __init__(self, val):
        super().__init__()
        self.val = val

    def train_dataloader(self):
        return loader()

    def val_dataloader(self):
        return self.val


@pytest.mark.parametrize(
    "val",
    [[loader(32), loader(48)], {"a": loader(32), "b": loader()}, CombinedLoader([loader(32), loader()], "sequential")],
    ids=["list", "dict", "combined"],
)
def test_the_probe_comes_from_the_first_of_several_validation_loaders(val):
    observed = lens(probe_size=1000)
    fit(observed, data=Data(val), max_epochs=1)
    assert len(observed.observation.inputs) == 32


def test_validation_testing_and_prediction_alone_are_not_observed():
    observed = lens()
    trainer, memory, _ = fit(observed, max_epochs=1)
    n_points = len(memory.points)
    module = trainer.lightning_module
    module.test_step = lambda batch, batch_idx: module(batch[0]).sum()
    trainer.validate(module, loader())
    trainer.test(module, loader())
    trainer.predict(module, DataLoader(torch.rand(8, 1, 8, 8), 4))
    assert observed.state.n_measured == 2
    assert not [p for p in memory.points[n_points:] if p[0].startswith("factorlens")]


def test_early_stopping_waits_for_the_minimum_of_epochs_and_steps():
    def stop():
        return EarlyStopping("factorlens_total/rmse/rank_2", patience=1, min_delta=100.0, check_on_train_epoch_end=True)

    assert fit(lens(), stop(), max_epochs=9)[0].current_epoch == 2
    assert fit(lens(), stop(), max_epochs=9, min_epochs=4)[0].current_epoch == 4
    assert fit(lens(), stop(), max_epochs=9, min_steps=10)[0].global_step >= 10
    assert fit(lens(), stop(), max_epochs=-1, max_steps=30)[0].global_step == 8
