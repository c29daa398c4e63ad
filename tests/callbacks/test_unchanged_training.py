"""Training is bit for bit what it would have been without the callback."""

import copy

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import Logger
from torch.utils.data import DataLoader
from training import Net, Snapshot, lens, loaders, train

from lightning_factorlens.factorization import MultiplicativeUpdates

SOLVER = MultiplicativeUpdates(max_iter=5)
OPTIONS = [{}, {"resample_probe": True}, {"every_n_train_steps": 3}, {"figures_every_n": 1}, {"solver": SOLVER}]
TRAINERS = [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2}]


def setups():
    """Three options with the plain Trainer, and each other Trainer with two; the rest are slow tests."""
    for number, trainer in enumerate(TRAINERS):
        for position, options in enumerate(OPTIONS):
            is_fast = position in (0, 2, 3) if number == 0 else position in (2, 4 * (number - 1))
            name = f"{next(iter(options), 'default')}-{next(iter(trainer), 'plain')}"
            yield pytest.param(options, trainer, id=name, marks=() if is_fast else pytest.mark.slow)


@pytest.mark.rasterized
@pytest.mark.parametrize(("options", "setup"), setups())
def test_training_is_bit_for_bit_what_it_would_have_been(tmp_path, options, setup):
    alone, observed = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, **setup)
    train(tmp_path / "b", lens(**options), observed, **setup)
    for k, v in alone.weights.items():
        assert torch.equal(v, observed.weights[k]), k
    for k, state in alone.optimizer["state"].items():
        assert all(torch.equal(v, observed.optimizer["state"][k][n]) for n, v in state.items())
    assert torch.equal(alone.random[0], observed.random[0])
    assert alone.random[1:] == observed.random[1:]
    assert alone.user.keys() == observed.user.keys()
    assert all(torch.equal(v, observed.user[k]) for k, v in alone.user.items())


@pytest.mark.parametrize("persistent", [False, True])
def test_loader_workers_are_not_disturbed(tmp_path, persistent):
    def data():
        train_loader, val = loaders()
        return train_loader, DataLoader(val.dataset, 16, num_workers=1, persistent_workers=persistent)

    alone, observed = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, data=data(), epochs=2)
    train(tmp_path / "b", lens(), observed, data=data(), epochs=2)
    assert all(torch.equal(v, observed.weights[k]) for k, v in alone.weights.items())


def test_self_log_in_the_users_forward_does_not_record_the_probe(tmp_path):
    class Logs(Net):
        def forward(self, x):
            y = super().forward(x)
            self.log("mean", y.mean(), on_step=True, on_epoch=True)
            return y

    alone, observed, module = Snapshot(), Snapshot(), Logs()
    train(tmp_path / "a", alone, module=copy.deepcopy(module))
    train(tmp_path / "b", lens(), observed, module=module)
    assert all(torch.equal(v, observed.user[k]) for k, v in alone.user.items())


class Points(Logger):
    """Keeps the names of what is logged."""

    name = version = "points"

    def __init__(self):
        super().__init__()
        self.names = []

    def log_hyperparams(self, *_, **__):
        pass

    def log_metrics(self, metrics, step=None):
        self.names += [name for name in metrics if not name.startswith("factorlens")]


def test_a_forward_that_writes_to_loggers_itself_does_not_record_the_probe():
    class Writes(Net):
        def forward(self, x):
            y = super().forward(x)
            self.logger.log_metrics({"mean": float(y.detach().mean())})
            return y

    names = []
    for callbacks in ([], [lens()]):
        logger = Points()
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", logger=logger, callbacks=callbacks, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(Writes(), *loaders())
        names.append(logger.names)
        assert trainer.loggers == [logger]
    assert names[0] == names[1] and "mean" in names[0]
