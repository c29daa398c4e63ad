"""After training in child processes the main process has the results of the callbacks."""

import copy
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from training import lens, train

from lightning_factorlens import FactorLensCallback, LabelFreeStopping
from lightning_factorlens.results.serialization import to_json

SCRIPT = '''
import json, os, sys, tempfile, warnings
from dataclasses import asdict, dataclass
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.factorization import HALS
from lightning_factorlens.measurements import Measurement, Scalar, default_measurements
from lightning_factorlens.results import Record

torch.set_num_threads(1)


class Net(LightningModule):
    def __init__(self, fails):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        self.fails = fails

    def forward(self, x):
        is_first_pass = not self.training and not self.trainer.sanity_checking and self.global_step == 0
        if is_first_pass and self.global_rank == 1 and self.fails == "first pass":
            raise torch.OutOfMemoryError("CUDA out of memory")
        if is_first_pass and self.global_rank == 1 and self.fails == "forward":
            raise ValueError("wrong channels")
        return self.net(x)

    def training_step(self, batch, batch_idx):
        if self.fails == "training" and self.current_epoch == 1 and self.global_rank == 0:
            raise RuntimeError("the user's error")
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@dataclass(frozen=True)
class Drift(Record):
    """A record of the user's own, defined in the main script."""

    mean: float


class Own(Measurement):
    name = "own"
    needs = frozenset()
    scalars = (Scalar("mean", "{prefix}/mean_weight", "A mean.", monitored=True),)
    record_type = Drift

    def measure(self, context):
        return Drift(next(context.model.parameters()).mean().item())


class File:
    """A sink that notes in a file how often it was used."""

    def __init__(self, path):
        self.path = path

    def write(self, observation):
        with open(self.path, "a") as file:
            file.write("w")

    def close(self):
        with open(self.path, "a") as file:
            file.write("c")


def train(name, strategy, devices=1, fails="", on_error="raise"):
    options = LensOptions(ranks=(1, 2), solver=HALS(n_init=1, max_iter=10))
    sink = File(f"{out}/{name}.txt")
    measurements = [*default_measurements(), Own()]
    lens = FactorLensCallback(
        max_overhead=None,
        probe_size=16, verbose=False, lens=options, sinks=[sink], measurements=measurements, on_error=on_error
    )
    stopping = LabelFreeStopping(monitor="factorlens/consistency")
    torch.manual_seed(0)
    data = DataLoader(TensorDataset(torch.rand(32, 1, 8, 8), torch.randint(0, 3, (32,))), 8)
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", devices=devices, strategy=strategy, callbacks=[lens, stopping], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    error = ""
    try:
        trainer.fit(Net(fails), data, data)
    except Exception as caught:
        error = str(caught)
    decision = stopping.decision
    found = {
        "error": error,
        "epochs": [o.epoch for o in lens.history],
        "own": [type(o["own"]).__name__ for o in lens.history],
        "n_values": [sum(1 for _ in o.values()) for o in lens.history],
        "last": None if lens.observation is None else lens.observation.epoch,
        "n_measured": lens.state.n_measured,
        "metrics": {t: v for t, v in lens.metrics.items() if not t.endswith(("seconds", "overhead"))},
        "published": {t: float(v) for t, v in trainer.callback_metrics.items()},
        "decision": None if decision is None else asdict(decision),
        "layers": lens.state.layers,
        "sink": open(f"{out}/{name}.txt").read() if os.path.exists(f"{out}/{name}.txt") else "",
        "left_over": [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("lightning-factorlens")],
    }
    with open(f"{out}/{name}.json", "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    out = sys.argv[1]
    warnings.simplefilter("ignore")
    train("alone", "auto")
    train("spawn", "ddp_spawn")
    train("fork", "ddp_fork", devices=2)
    train("failing", "ddp_fork", fails="training")
    train("out_of_memory", "ddp_fork", devices=2, fails="first pass", on_error="warn")
    train("misconfigured", "ddp_fork", devices=2, fails="forward", on_error="warn")
'''


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The results of runs without child processes, with spawned and forked ones, and with some that fail."""
    folder = tmp_path_factory.mktemp("spawn")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    (folder / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
    ran = subprocess.run(
        [sys.executable, script, folder], timeout=400, capture_output=True, text=True, env=environment, check=False
    )
    names = ("alone", "spawn", "fork", "failing", "out_of_memory", "misconfigured")
    assert (folder / f"{names[-1]}.json").exists(), ran.stderr
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in names}


@pytest.mark.parametrize("strategy", ["spawn", "fork"])
def test_the_main_process_has_what_a_run_without_child_processes_leaves(strategy, runs):
    alone, found = runs["alone"], runs[strategy]
    assert found["error"] == ""
    for name in ("epochs", "own", "last", "n_measured", "layers", "sink"):
        assert found[name] == alone[name], name
    assert found["epochs"] == [0, 1, 2]
    assert found["own"] == ["Drift"] * 3
    assert found["n_values"] == alone["n_values"]
    assert found["sink"] == "wwwc"
    assert found["metrics"].keys() == alone["metrics"].keys()
    assert found["decision"].keys() == alone["decision"].keys()
    assert found["decision"]["best_epoch"] >= 1
    published = {tag: found["published"][tag] for tag in found["metrics"]}  # which Lightning has brought back
    assert found["metrics"] == pytest.approx(published, rel=1e-6, nan_ok=True)


def test_the_results_of_a_run_that_failed_in_a_child_process_are_kept_and_its_sinks_closed(runs):
    found = runs["failing"]
    assert "the user's error" in found["error"]
    assert found["epochs"] == [0, 1]
    assert found["sink"] == "wwc"
    assert found["decision"]["best_epoch"] == 1


def test_no_file_is_left_over(runs):
    assert all(found["left_over"] == [] for found in runs.values())


def test_a_failure_before_training_in_one_process_has_one_consequence_in_all(runs):
    assert runs["out_of_memory"]["error"] == ""
    assert runs["out_of_memory"]["epochs"] == [1, 2]
    assert "FactorLensCallback calls your LightningModule" in runs["misconfigured"]["error"]
    assert runs["misconfigured"]["epochs"] == []


def test_a_run_without_child_processes_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    callback, stopping = lens(), LabelFreeStopping(monitor="factorlens/consistency")
    train(tmp_path, callback, stopping, epochs=1)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert len(callback.history) == 2


def test_results_that_cannot_be_read_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    callback, stopping = FactorLensCallback(), LabelFreeStopping(monitor="factorlens/consistency")
    for each in (callback, stopping):
        with open(each._spawn_results._path, "wb") as file:
            file.write(b"no results")
    with pytest.warns(UserWarning, match="FactorLens could not"):
        assert len(callback.history) == 0
    with pytest.warns(UserWarning, match="LabelFreeStopping could not read the decision"):
        assert stopping.decision is None
    assert list(tmp_path.iterdir()) == []


def test_a_copy_has_results_of_its_own_and_a_pickled_callback_those_of_the_original():
    callback = FactorLensCallback()
    assert copy.deepcopy(callback)._spawn_results._path != callback._spawn_results._path
    assert pickle.loads(pickle.dumps(callback))._spawn_results._path == callback._spawn_results._path


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("logged", [True, False])
def test_callbacks_trainer_and_module_can_be_copied_after_training(copied, logged, tmp_path):
    callback, stopping = lens(), LabelFreeStopping(monitor="factorlens/consistency")
    options = {} if logged else {"logger": False}
    trainer, module = train(tmp_path, callback, stopping, epochs=1, **options)
    twin = copied(callback)
    assert [o.epoch for o in twin.history] == [0, 1]
    assert twin.metrics == pytest.approx(callback.metrics, rel=0, abs=0, nan_ok=True)
    assert copied(stopping).decision == stopping.decision
    assert list(map(to_json, copied(callback.history))) == list(map(to_json, callback.history))
    assert copied(module).state_dict().keys() == module.state_dict().keys()
    assert copied(trainer).current_epoch == 1
    torch.save(module, tmp_path / "module.pt")
