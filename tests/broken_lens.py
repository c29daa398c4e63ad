"""Runs in which something fails while the lens observes, and everything that can fail."""

import copy
import errno
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_factorlens import FactorLensCallback
from lightning_factorlens.factorization import HALS

EPOCHS, STEPS = 3, 2


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU()
        self.drop, self.conv2, self.head = nn.Dropout(0.3), nn.Conv2d(6, 12, 3), nn.Linear(12, 3)
        self.skip = False

    def forward(self, x):
        x = self.drop(self.relu(self.norm(self.conv(x))))
        x = self.conv2(x) if self.skip and not self.training else self.relu(self.conv2(x))
        return self.head(x.mean((2, 3)))

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def data():
    g = torch.Generator().manual_seed(0)
    images = TensorDataset(torch.rand(16, 1, 8, 8, generator=g), torch.randint(0, 3, (16,), generator=g))
    return DataLoader(images, 8, shuffle=True)


class FragileDataset(Dataset):
    """Images, until it is given an error to raise."""

    error = None

    def __len__(self):
        return 16

    def __getitem__(self, i):
        if self.error is not None:
            raise self.error
        return torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(i)), 0


class UserSink:
    """A sink of the user's own."""

    def write(self, observation):
        pass

    def close(self):
        pass


def lens(**options):
    small = {"probe_size": 16, "ranks": (1, 2), "solver": HALS(n_init=1), "verbose": False, "figures_every_n": 0}
    probe = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return make_callback(**{**small, "probe": probe, "sinks": [UserSink()], **options})


class SecondLogger(CSVLogger):
    """One of several loggers; it raises its error where it has one."""

    error = None

    def log_metrics(self, metrics, step=None):
        if self.error is not None and any(tag.startswith("factorlens") for tag in metrics):
            raise self.error
        super().log_metrics(metrics, step)


class EndState(Callback):
    """Everything at the end of training that must not depend on the lens."""

    def on_train_end(self, trainer, pl_module):
        self.weights = copy.deepcopy(pl_module.state_dict())
        self.random_state = torch.get_rng_state()
        self.optimizer = copy.deepcopy(trainer.optimizers[0].state_dict()["state"])

    def __eq__(self, other):
        same = all(torch.equal(v, other.weights[k]) for k, v in self.weights.items())
        same &= all(torch.equal(v, other.optimizer[k][n]) for k, s in self.optimizer.items() for n, v in s.items())
        return same and torch.equal(self.random_state, other.random_state)

    __hash__ = None


class Sabotage(Callback):
    """Something is broken during some epochs, from the start of each to the start of the next."""

    def __init__(self, breaks, epochs):
        self.breaks = breaks
        self.epochs = epochs
        self.active = ExitStack()

    def on_train_epoch_start(self, trainer, pl_module):
        self.active.close()
        if trainer.current_epoch in self.epochs:
            callback = next(c for c in trainer.callbacks if isinstance(c, FactorLensCallback))
            self.active.enter_context(self.breaks(callback, pl_module, trainer))

    def on_train_end(self, trainer, pl_module):
        if EPOCHS not in self.epochs:  # else it is also broken in `on_fit_end`
            self.active.close()

    def teardown(self, trainer, pl_module, stage):
        self.active.close()


def train(folder, *callbacks, ckpt_path=None, **options):
    """Trains to the end, and returns the state at the end."""
    torch.manual_seed(3)
    logger = [TensorBoardLogger(folder, name="", version=""), SecondLogger(folder, name="csv")] if folder else False
    arguments = {
        "max_epochs": EPOCHS,
        "logger": logger,
        "enable_checkpointing": False,
        "log_every_n_steps": 1,
        **options,
    }
    end = EndState()
    trainer = Trainer(
        callbacks=[*callbacks, end],
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )
    trainer.fit(Net(), data(), ckpt_path=ckpt_path)
    assert trainer.current_epoch == trainer.max_epochs
    return end


def points(folder):
    """Every scalar by tag and step, except for times."""
    return {
        (value.tag, event.step): value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
        for file in folder.glob("events*") for event in EventFileLoader(str(file)).Load() for value in event.summary.value
        if not {"seconds", "overhead", "factorlens_cost", "text_summary"} & set(value.tag.split("/"))
    }  # fmt: skip


# ---- what breaks: each is called with the callback, the module and the trainer, and returns a context


def hook(layer, change):
    """A forward hook of the user's that is broken in eval mode."""

    @contextmanager
    def broken(callback, module, trainer):
        handle = getattr(module, layer).register_forward_hook(lambda m, _, out: None if m.training else change(out))
        yield
        handle.remove()

    return broken


def raiser(error):
    def fail(*_, **__):
        raise error

    return fail


def hook_raises(error, layer="relu"):
    return hook(layer, raiser(error))


def attribute(path, value):
    """An attribute of the callback, the module or the trainer, such as ``"callback.lens.measure"``."""

    def broken(callback, module, trainer):
        owners = {"callback": callback, "module": module, "trainer": trainer}
        name = path.rpartition(".")[2]
        first, *rest = path.split(".")[:-1]
        target = owners[first]
        for part in rest:
            target = target[int(part)] if part.isdigit() else getattr(target, part)
        return patch.object(target, name, value)

    return broken


def global_(path, error):
    return lambda *_: patch(path, raiser(error))


class BrokenSolver(HALS):
    def finish(self, *_):
        raise torch.linalg.LinAlgError("the solver diverged")


@contextmanager
def broken_solver(callback, module, trainer):
    options = callback.lens.options
    callback.lens.options = replace(options, solver=BrokenSolver())
    yield
    callback.lens.options = options


@contextmanager
def broken_dataset(callback, module, trainer):
    callback.probe.error = OSError(errno.EIO, "Input/output error")
    yield
    callback.probe.error = None


def without_matplotlib(*_):
    names = [name for name in sys.modules if name.startswith("matplotlib")]
    return patch.dict(sys.modules, {**dict.fromkeys(names), "matplotlib": None})


def writer(method, error):
    """A method of TensorBoard's writer; Lightning's own scalars do not use these."""
    return lambda callback, module, trainer: patch.object(trainer.logger.experiment, method, raiser(error))


FULL = OSError(errno.ENOSPC, "No space left on device")
OOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
DIVERGED = torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge")
MEASUREMENTS = "lightning_factorlens.measurements"
LOGGERS = "lightning_factorlens.loggers"
#: What breaks, and options of the callback.
FAULTS = {
    "hook raises": (hook_raises(RuntimeError("broken hook")), {}),
    "hook raises StopIteration": (hook_raises(StopIteration("the end of a loop")), {}),
    "forward raises in eval mode": (hook_raises(ValueError("no eval mode"), "head"), {}),
    "out of memory on the GPU": (hook_raises(OOM, "conv2"), {}),
    "out of memory on the host": (hook_raises(MemoryError("cannot allocate"), "conv2"), {}),
    "layer gives NaN": (hook("relu", lambda out: out * torch.nan), {}),
    "layer gives infinity": (hook("relu", lambda out: out + torch.inf), {}),
    "layer changes its shape": (hook("relu", lambda out: out.repeat(1, 2, 1, 1)[:, :6, :-1]), {}),
    "layer is skipped": (attribute("module.skip", True), {}),
    "output is no tensor": (hook("head", raiser(TypeError("unhashable"))), {}),
    "eigenvalues do not converge": (global_("torch.linalg.eigvalsh", DIVERGED), {}),
    "spectra do not converge": (global_(f"{MEASUREMENTS}.weight_spectra.layer_spectra", DIVERGED), {}),
    "solver diverges": (broken_solver, {}),
    "consistency fails": (
        global_(f"{MEASUREMENTS}.consistency.consistency", ZeroDivisionError("division by zero")),
        {},
    ),
    "measurement returns no record": (
        lambda *_: patch(f"{MEASUREMENTS}.NeuronSimilarity.measure", lambda *_: ("no", "record")),
        {},
    ),
    "the lens itself is gone": (attribute("callback.lens.begin", None), {}),
    "probe cannot be drawn": (broken_dataset, {"resample_probe": True}),
    "disk is full": (global_(f"{LOGGERS}.logger_sink.write_scalars", FULL), {}),
    "another logger's disk is full": (attribute("trainer.loggers.1.error", FULL), {}),
    "histograms fail": (writer("add_histogram", FULL), {}),
    "sink fails": (attribute("callback.sinks.0.write", raiser(PermissionError("read-only"))), {}),
}
#: The faults while an observation is written; all others occur before.
WRITING = ("disk is full", "another logger's disk is full", "histograms fail", "sink fails")
CLOSING = {
    "the summary fails": writer("add_text", FULL),
    "the projector fails": writer("add_embedding", FULL),
    "the sink's close fails": attribute("callback.sinks.0.close", raiser(FULL)),
    "the last images fail": writer("add_image", FULL),
}
FIGURES = {
    "add_image": writer("add_image", FULL),
    "drawing": global_(f"{LOGGERS}.figure_schedule.render_figures", RuntimeError("no font")),
    "matplotlib is missing": without_matplotlib,
    "memory": global_("matplotlib.figure.Figure.__init__", MemoryError("no pixels")),
}
