"""Training in several processes: numbers equal those of a single one, decisions and weights agree, and nothing hangs."""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_factorlens import FactorLens, FactorLensCallback

SCRIPT = '''
import hashlib, json, sys, warnings
from dataclasses import replace
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from lightning_factorlens import FactorLensCallback, LensOptions
from lightning_factorlens.factorization import HALS

torch.set_num_threads(1)
PLANS = {"failures": {0: (1, "hook"), 1: (0, "solver"), 2: (0, "disk")}, "raises": {1: (-1, "solver")}}
OPTIONS = LensOptions(ranks=(1, 2, 4), max_neurons_per_layer=None, solver=HALS(n_init=2, max_iter=20))


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        conv = [nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU()]
        self.net = nn.Sequential(*conv, nn.MaxPool2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(12 * 49, 3))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class BrokenSolver(HALS):
    def finish(self, *_):
        raise RuntimeError("broken solver")


def broken_hook(module, args, output):
    if not module.training:
        raise RuntimeError("broken hook")


class Disk:
    full = False

    def write(self, observation):
        if self.full:
            raise OSError("broken disk")

    def close(self):
        pass


class Sabotage(Callback):
    """At the end of each epoch of the plan something fails in one process."""

    def __init__(self, plan):
        self.plan = plan

    def failure_of(self, trainer):
        rank, where = self.plan.get(trainer.current_epoch, (0, ""))
        return where if trainer.global_rank == rank % trainer.world_size else ""

    def on_train_epoch_start(self, trainer, pl_module):
        lens, where = callback_of(trainer), self.failure_of(trainer)
        if where == "hook":
            self.handle = pl_module.net[2].register_forward_hook(broken_hook)
        elif where == "solver":
            self.options, lens.lens.options = lens.lens.options, replace(lens.lens.options, solver=BrokenSolver())
        elif where == "disk":
            lens.sinks[0].full = True

    def repair(self, trainer):
        lens, where = callback_of(trainer), self.failure_of(trainer)
        if where == "hook":
            self.handle.remove()
        elif where == "solver":
            lens.lens.options = self.options
        elif where == "disk":
            lens.sinks[0].full = False


def callback_of(trainer):
    return next(c for c in trainer.callbacks if isinstance(c, FactorLensCallback))


class Recorder(Callback):
    """Runs after the lens: writes its observations, the weights at which they were made, and the end of the run."""

    def __init__(self, mode, sabotage=None):
        self.mode = mode
        self.sabotage = sabotage
        self.observed = []
        self.last = None

    def on_train_start(self, trainer, pl_module):
        self.record(trainer, pl_module)

    def on_train_epoch_end(self, trainer, pl_module):
        if self.sabotage:
            self.sabotage.repair(trainer)
        self.record(trainer, pl_module)

    def record(self, trainer, pl_module):
        if self.mode == "lens":
            lens = callback_of(trainer)
            torch.save(
                (lens.probe_batch.inputs, pl_module.state_dict(), lens.observation),
                f"{out}/observation{len(self.observed)}_{trainer.global_rank}.pt",
            )
        if self.mode != "none":
            self.observed.append(callback_of(trainer).observation is not self.last)
            self.last = callback_of(trainer).observation

    def on_train_end(self, trainer, pl_module):
        self.write(trainer, pl_module, "")

    def on_exception(self, trainer, pl_module, exception):
        self.write(trainer, pl_module, f"{type(exception).__name__}: {exception}")

    def write(self, trainer, pl_module, raised):
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if not k.endswith(("seconds", "overhead"))}
        state = [pl_module.state_dict(), trainer.optimizers[0].state_dict()["state"]]
        found = {
            "metrics": metrics, "epoch": trainer.current_epoch, "observed": self.observed, "raised": raised,
            "warned": [w for w in warned if "FactorLens" in w],
            "weights": hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors(state))).hexdigest(),
        }
        with open(f"{out}/{self.mode}{trainer.global_rank}.json", "w") as f:
            json.dump(found, f)


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [t for part in parts for t in tensors(part)]


def train(mode):
    lens = FactorLensCallback(
        max_overhead=None,
        probe_size=150, resample_probe=mode == "stops", verbose=False, on_error="raise" if mode == "raises" else "warn",
        sinks=[Disk()], lens=OPTIONS, outputs="classes"
    )
    stop = EarlyStopping("factorlens_total/rmse/rank_4", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    sabotage = Sabotage(PLANS[mode]) if mode in PLANS else None
    callbacks = {"none": [], "lens": [lens], "stops": [lens, stop]}.get(mode, [sabotage, lens]) + [Recorder(mode, sabotage)]
    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(160, 1, 30, 30, generator=g), torch.randint(0, 3, (160,), generator=g))
    torch.manual_seed(0)
    warned.clear()
    trainer = Trainer(
        max_epochs=6 if mode == "stops" else 4, accelerator="cpu", devices=size, strategy="ddp", callbacks=callbacks,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(Net(), DataLoader(data, 20, shuffle=True), DataLoader(data, 20))
    if mode == "lens" and trainer.is_global_zero:
        lens.lens.observe(lens.probe_batch)  # after training one rank may observe alone


if __name__ == "__main__":
    out, size, warned = sys.argv[1], int(sys.argv[2]), []
    warnings.showwarning = lambda message, *_, **__: warned.append(str(message))
    warnings.simplefilter("always")
    for mode in ("none", "lens", "failures", "stops", "raises"):
        train(mode)
'''


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def run(request, tmp_path_factory):
    """The folder of five runs with this number of processes."""
    folder = tmp_path_factory.mktemp("ddp")
    script = folder / "train.py"
    script.write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, script, folder, str(request.param)], timeout=400, capture_output=True, text=True
    )
    assert (folder / "raises0.json").exists(), ran.stderr
    assert ran.returncode != 0  # the last run raises
    return folder, request.param


def results_of(run, mode):
    folder, size = run
    return [json.loads((folder / f"{mode}{rank}.json").read_text()) for rank in range(size)]


def test_every_number_equals_that_of_a_single_process(run):
    folder, size = run
    spec = importlib.util.spec_from_file_location("train", folder / "train.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    lens = FactorLens(script.Net(), script.OPTIONS, outputs="classes")
    for k in range(5):  # the second and later start from the factors of the one before
        by_rank = [torch.load(folder / f"observation{k}_{rank}.pt", weights_only=False) for rank in range(size)]
        images, weights, first = by_rank[0]
        lens.model.load_state_dict(weights)
        expected = numbers(lens.observe(images, first.epoch, first.step))
        for _, _, observation in by_rank:
            assert numbers(observation) == pytest.approx(expected, abs=1e-5, rel=1e-5, nan_ok=True)


def numbers(o):
    """Every number of an observation, except for its cost and the one that a lens without a Trainer cannot compute."""
    found = {}
    for name, record in o.records.items():
        if name != "cost":
            found |= {(v.quantity, v.scope, v.rank): v.value for v in record.values()}
    found.pop(("memorization_gap", None, None))  # the training loss is not known there
    return found


def test_all_ranks_have_the_same_metrics_and_stop_together(run):
    first, *others = results_of(run, "stops")
    assert all(other == first for other in others)
    assert "factorlens/consistency" in first["metrics"]
    assert first["epoch"] == 3


def test_weights_and_optimizer_are_those_of_training_without_the_lens(run):
    without = [t["weights"] for t in results_of(run, "none")]
    assert [t["weights"] for t in results_of(run, "lens")] == without
    assert [t["weights"] for t in results_of(run, "failures")] == without
    assert results_of(run, "lens")[0]["metrics"]["train_loss"] == results_of(run, "none")[0]["metrics"]["train_loss"]


def test_a_failure_in_one_rank_costs_all_ranks_the_same_and_one_warning(run):
    first, *others = results_of(run, "failures")
    for t in (first, *others):
        assert (t["epoch"], t["raised"]) == (4, "")
        # baseline; hook broken in rank 1; solver broken in rank 0, which the signal does not need; disk full in rank 0,
        # after all had observed; no failure
        assert t["observed"] == [True, False, True, True, True]
        assert t["metrics"] == first["metrics"]
    (warning,) = first["warned"]
    assert "could not observe: PeerError: process 1: RuntimeError: broken hook. Training goes on" in warning
    assert all(other["warned"] == [] for other in others)


def test_on_error_raise_raises_in_every_rank(run):
    *others, last = results_of(run, "raises")
    assert last["raised"] == "RuntimeError: broken solver"
    message = f"PeerError: process {len(others)}: RuntimeError: broken solver"
    assert all(other["raised"] == message for other in others)


@pytest.mark.parametrize("name", ["XLAStrategy", "XLAFSDPStrategy"])
def test_strategies_that_have_not_been_tried_are_refused_at_once(name):
    strategy = type(name, (), {})
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer._accelerator_connector.strategy = strategy()
    with pytest.raises(MisconfigurationException, match=rf"does not support {name}: it has not been tried on XLA"):
        FactorLensCallback().setup(trainer, LightningModule(), "fit")
