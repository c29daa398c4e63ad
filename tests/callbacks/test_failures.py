"""Faults injected into the lens while it works: training ends as it would have, with one warning, and nothing logged is lost."""

import copy
import errno
import sys
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
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


class Fragile(Dataset):
    """Serves images until it is broken."""

    error = None

    def __len__(self):
        return 16

    def __getitem__(self, i):
        if self.error is not None:
            raise self.error
        return torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(i)), 0


class Elsewhere:
    """A sink of the user's own."""

    def write(self, observation):
        pass

    def close(self):
        pass


def lens(**options):
    small = {"probe_size": 16, "ranks": (1, 2), "solver": HALS(n_init=1), "verbose": False, "figures_every_n": 0}
    probe = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return make_callback(**{**small, "probe": probe, "sinks": [Elsewhere()], **options})


class Second(CSVLogger):
    """Of several loggers one; it fails where it has an error."""

    error = None

    def log_metrics(self, metrics, step=None):
        if self.error is not None and any(tag.startswith("factorlens") for tag in metrics):
            raise self.error
        super().log_metrics(metrics, step)


class Ended(Callback):
    """What must not depend on the lens."""

    def on_train_end(self, trainer, pl_module):
        self.weights, self.random = copy.deepcopy(pl_module.state_dict()), torch.get_rng_state()
        self.optimizer = copy.deepcopy(trainer.optimizers[0].state_dict()["state"])

    def __eq__(self, other):
        same = all(torch.equal(v, other.weights[k]) for k, v in self.weights.items())
        same &= all(torch.equal(v, other.optimizer[k][n]) for k, s in self.optimizer.items() for n, v in s.items())
        return same and torch.equal(self.random, other.random)

    __hash__ = None


class Sabotage(Callback):
    """Something is broken during some epochs, between their beginning and the next one's."""

    def __init__(self, breaks, epochs):
        self.breaks, self.epochs, self.now = breaks, epochs, ExitStack()

    def on_train_epoch_start(self, trainer, pl_module):
        self.now.close()
        if trainer.current_epoch in self.epochs:
            watching = next(c for c in trainer.callbacks if isinstance(c, FactorLensCallback))
            self.now.enter_context(self.breaks(watching, pl_module, trainer))

    def on_train_end(self, trainer, pl_module):
        if EPOCHS not in self.epochs:  # else also in `on_fit_end`
            self.now.close()


def train(folder, *callbacks, ckpt_path=None, **options):
    torch.manual_seed(3)
    logger = [TensorBoardLogger(folder, name="", version=""), Second(folder, name="csv")] if folder else False
    arguments = {
        "max_epochs": EPOCHS,
        "logger": logger,
        "enable_checkpointing": False,
        "log_every_n_steps": 1,
        **options,
    }
    end = Ended()
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
    """Every scalar, with its x, but for those that tell the time."""
    return {
        (value.tag, event.step): value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
        for file in folder.glob("events*") for event in EventFileLoader(str(file)).Load() for value in event.summary.value
        if not {"seconds", "share", "factorlens_cost", "text_summary"} & set(value.tag.split("/"))
    }  # fmt: skip


@pytest.fixture(scope="module")
def alone():
    warnings.simplefilter("ignore")
    return train(None)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    train(folder, lens())
    return points(folder)


# ---- what breaks


def hook(layer, answer):
    """A forward hook of the user's that is broken in eval mode."""

    @contextmanager
    def broken(lens, module, trainer):
        handle = getattr(module, layer).register_forward_hook(lambda m, _, out: None if m.training else answer(out))
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
    """An attribute of the lens, the module or the trainer, such as ``"lens.lens.observe"``."""

    def broken(lens, module, trainer):
        owner, name = {"lens": lens, "module": module, "trainer": trainer}, path.rpartition(".")[2]
        first, *rest = path.split(".")[:-1]
        target = owner[first]
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
def broken_solver(lens, module, trainer):
    kept, lens.lens.options = lens.lens.options, replace(lens.lens.options, solver=BrokenSolver())
    yield
    lens.lens.options = kept


@contextmanager
def broken_dataset(lens, module, trainer):
    lens.probe.error = OSError(errno.EIO, "Input/output error")
    yield
    lens.probe.error = None


def without_matplotlib(*_):
    drawing = [
        m
        for m in sys.modules
        if m.startswith("matplotlib") or (m.startswith("lightning_factorlens.loggers.") and m.endswith("_figure"))
    ]
    return patch.dict(sys.modules, {**dict.fromkeys(drawing), "matplotlib": None})


def writer(method, error):
    """A method of TensorBoard's writer; Lightning's own scalars take another way."""
    return lambda lens, module, trainer: patch.object(trainer.logger.experiment, method, raiser(error))


FULL = OSError(errno.ENOSPC, "No space left on device")
OOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
DIVERGED = torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge")
LENS, SINKS = "lightning_factorlens.lens", "lightning_factorlens.loggers"
FAULTS = {
    "hook raises": (hook_raises(RuntimeError("broken hook")), {}),
    "hook raises StopIteration": (hook_raises(StopIteration("a loop's end")), {}),
    "forward raises in eval mode": (hook_raises(ValueError("no eval mode"), "head"), {}),
    "out of memory on the GPU": (hook_raises(OOM, "conv2"), {}),
    "out of memory on the host": (hook_raises(MemoryError("cannot allocate"), "conv2"), {}),
    "layer gives NaN": (hook("relu", lambda out: out * torch.nan), {}),
    "layer gives infinity": (hook("relu", lambda out: out + torch.inf), {}),
    "layer changes its shape": (hook("relu", lambda out: out.repeat(1, 2, 1, 1)[:, :6, :-1]), {}),
    "layer is skipped": (attribute("module.skip", True), {}),
    "output is no tensor": (hook("head", raiser(TypeError("unhashable"))), {}),
    "eigenvalues do not converge": (global_("torch.linalg.eigvalsh", DIVERGED), {}),
    "spectra do not converge": (global_(f"{LENS}.layer_spectra", DIVERGED), {}),
    "solver diverges": (broken_solver, {}),
    "consistency fails": (global_(f"{LENS}.label_consistency", ZeroDivisionError("division by zero")), {}),
    "the lens itself is gone": (attribute("lens.lens.observe", None), {}),
    "probe cannot be drawn": (broken_dataset, {"resample_probe": True}),
    "disk is full": (global_(f"{SINKS}.loggers.write_scalars", FULL), {}),
    "another logger's disk is full": (attribute("trainer.loggers.1.error", FULL), {}),
    "histograms fail": (writer("add_histogram", FULL), {}),
    "sink fails": (attribute("lens.sinks.0.write", raiser(PermissionError("read-only"))), {}),
}  # fmt: skip
#: The faults in the writing; all else fails before anything is written.
WRITING = ("disk is full", "another logger's disk is full", "histograms fail", "sink fails")
WHEN = {"in the first epoch": {0}, "in the last": {EPOCHS - 1}, "always": set(range(EPOCHS))}


def told(caught):
    return [str(w.message) for w in caught if "FactorLens" in str(w.message)]


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("fault", FAULTS)
def test_training_ends_as_it_would_have_with_one_warning(fault, when, alone, healthy, tmp_path):
    breaks, options = FAULTS[fault]
    watching = lens(**({"probe": Fragile()} if fault == "probe cannot be drawn" else {}), **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path, Sabotage(breaks, WHEN[when]), watching)
    assert len(told(caught)) == 1, told(caught)
    assert "FactorLens could not observe" in told(caught)[0]
    assert end == alone
    assert watching.state.n_failed == len(WHEN[when])
    written = points(tmp_path)
    before = {k: v for k, v in healthy.items() if k[1] < STEPS * min(WHEN[when]) + STEPS - 1}
    assert any("factorlens" in tag for tag, _ in before)
    if not options:  # the same lens as the healthy one
        assert all(written[k] == v for k, v in before.items())
    last = {("factorlens/mean_alpha", STEPS * (e + 1) - 1) for e in range(EPOCHS)}
    if fault not in WRITING:  # what fails leaves no point, what recovers does
        failed = {("factorlens/mean_alpha", STEPS * (e + 1) - 1) for e in WHEN[when]}
        assert last & written.keys() == last - failed


@pytest.mark.parametrize("fault", ["hook raises", "solver diverges", "disk is full", "layer gives NaN"])
def test_a_lens_that_looks_by_steps_fails_as_quietly(fault, alone, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path, Sabotage(FAULTS[fault][0], {1, 2}), lens(every_n_train_steps=1))
    assert len(told(caught)) == 1
    assert end == alone


@pytest.mark.parametrize("fault", ["hook raises", "layer is skipped", "solver diverges", "sink fails"])
def test_on_error_raise_raises(fault, tmp_path):
    with pytest.raises((RuntimeError, PermissionError)):
        train(tmp_path, Sabotage(FAULTS[fault][0], {1}), lens(on_error="raise"))


CLOSING = {
    "the result's card fails": writer("add_text", FULL),
    "the projector fails": writer("add_embedding", FULL),
    "the sink's close fails": attribute("lens.sinks.0.close", raiser(FULL)),
    "the last pictures fail": writer("add_image", FULL),
}


@pytest.mark.parametrize("fault", [pytest.param(f, marks=pytest.mark.slow if "pictures" in f else ()) for f in CLOSING])
def test_a_fault_while_closing_comes_to_nothing_but_a_warning(fault, alone, healthy, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path, Sabotage(CLOSING[fault], {EPOCHS - 1, EPOCHS}), lens(figures_every_n=2 * EPOCHS))
    assert len(told(caught)) == 1, told(caught)
    assert end == alone
    assert healthy.items() <= points(tmp_path).items()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["ctrl-c", "exit"])
def test_whoever_wants_to_stop_can(error, tmp_path):
    watching = lens()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path, Sabotage(hook_raises(error), {1}), watching)
    assert watching.state.n_failed == 0
    assert watching.state.n_measured == 2


@pytest.mark.parametrize("value", [torch.nan, torch.inf], ids=["NaN", "infinity"])
def test_weights_without_numbers_are_told(value, tmp_path):
    class Diverge(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.conv2.weight.data.fill_(value)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tmp_path, Diverge(), lens())
    assert len(told(caught)) == 1
    assert "NaN or infinite" in told(caught)[0]


def cut(state, **changes):
    return {k: v for k, v in {**state, **changes}.items() if v is not ...}


BROKEN_STATES = {
    "of an older lens": lambda s: cut(s, account=..., probe=..., patterns=...),
    "without numbers": lambda s: cut(s, warm=[f * torch.nan for f in s["warm"]]),
    "of something else": lambda s: {"best_score": torch.tensor(1.0)},
    "of wrong types": lambda s: cut(s, warm=3, latest=None),
}


@pytest.mark.parametrize("broken", BROKEN_STATES)
def test_a_checkpoint_with_a_broken_state_is_resumed_from(broken, tmp_path):
    train(None, lens(), ModelCheckpoint(tmp_path, filename="kept"), enable_checkpointing=True, max_epochs=2)
    path = tmp_path / "kept.ckpt"
    kept = torch.load(path, weights_only=True)
    key = next(k for k in kept["callbacks"] if "FactorLens" in k)
    kept["callbacks"][key] = BROKEN_STATES[broken](kept["callbacks"][key])
    torch.save(kept, path)
    bare = train(None, ckpt_path=path)
    watching = lens()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path / "b", watching, ckpt_path=path)
    assert [t for t in told(caught) if "state" in t] == told(caught)
    assert len(told(caught)) == 1
    assert end == bare
    assert watching.state.n_measured >= 1
    with pytest.raises((KeyError, TypeError, ValueError)):
        train(None, lens(on_error="raise"), ckpt_path=path)


def test_factors_of_a_checkpoint_that_do_not_fit_are_not_used(tmp_path):
    train(None, lens(ranks=(1, 4)), ModelCheckpoint(tmp_path, filename="kept"), enable_checkpointing=True, max_epochs=2)
    watching = lens()
    end = train(tmp_path / "b", watching, ckpt_path=tmp_path / "kept.ckpt")
    assert end == train(None, ckpt_path=tmp_path / "kept.ckpt")
    assert watching.state.n_failed == 0
    assert torch.tensor(watching.observation.curves["total"].rmse).isfinite().all()


PICTURES = {
    "add_image": writer("add_image", FULL),
    "drawing": global_(f"{SINKS}.album.pictures", RuntimeError("no font")),
    "matplotlib is missing": without_matplotlib,
    "memory": global_("matplotlib.figure.Figure.__init__", MemoryError("no pixels")),
}


@pytest.mark.parametrize("fault", [pytest.param(f, marks=pytest.mark.slow if f == "memory" else ()) for f in PICTURES])
def test_pictures_that_fail_cost_nothing_else(fault, alone, healthy, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path, Sabotage(PICTURES[fault], {EPOCHS - 1}), lens(figures_every_n=EPOCHS))
    assert len(told(caught)) == 1, told(caught)
    assert end == alone
    assert healthy.items() <= points(tmp_path).items()
