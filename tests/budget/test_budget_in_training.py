"""The budget inside a real Trainer, against the wall clock."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Slow(LightningModule):
    """Epochs of a known length, most of it sleep."""

    def __init__(self, seconds):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        self.seconds = seconds

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        time.sleep(self.seconds / 2)
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SlowDisk:
    """Makes full observations of a known length, most of it sleep."""

    def write(self, observation):
        time.sleep(0.05 * observation.is_full)

    def close(self):
        pass


def lens_of(**options):
    return make_callback(
        probe_size=16, ranks=(1, 2), fit_power_law=False, figures_every_n=0, sinks=[SlowDisk()], **options
    )


def fit(tmp_path, epochs, *callbacks, seconds=0.1, **options):
    data = TensorDataset(torch.rand(32, 1, 8, 8), torch.randint(0, 3, (32,)))
    lens = lens_of(**options)
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=CSVLogger(tmp_path, name="", version=""), callbacks=[lens, *callbacks],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(Slow(seconds), DataLoader(data, 16), DataLoader(data, 16))
    return trainer, lens


class MonitorsNothing(Callback):
    """Records what the epoch's observation has, as a callback that monitors by another name would."""

    def __init__(self):
        self.n_signal_only = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.n_signal_only.append(float(trainer.callback_metrics["factorlens_cost/signal_only"]))


@pytest.mark.slow
def test_in_a_trainer_full_observations_keep_to_the_limit_and_a_message_says_so(tmp_path, caplog):
    recorded = MonitorsNothing()
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        logging.getLogger("lightning.pytorch").propagate = True
        # A full observation takes 0.05 s or more, and an epoch earns 0.035 s.
        trainer, lens = fit(tmp_path, 20, recorded, seconds=0.3, max_overhead=0.1)
    budget = lens.state.budget
    assert trainer.current_epoch == 20
    assert len(lens.history) == lens.state.n_measured == 21
    assert 2 <= lens.state.n_full < 21
    assert budget.n_signal_only + lens.state.n_full in (21, 22)  # the last one may have been completed
    assert budget.overhead < 0.4  # on a busy machine the last observation may take long
    assert caplog.text.count("FactorLens observes the signal alone (consistency) until") == 1
    assert "which max_overhead=0.1 allows after" in caplog.text
    assert f"FactorLens: 21 observations ({lens.state.n_full} full) in" in caplog.text
    assert max(recorded.n_signal_only) > 0
    assert recorded.n_signal_only == sorted(recorded.n_signal_only)


def test_patience_counts_every_due_observation_whatever_the_clock_says(tmp_path):
    stop = EarlyStopping("factorlens_total/rmse/rank_2", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    trainer, lens = fit(tmp_path, 60, stop, seconds=0.0, max_overhead=0.001)
    assert lens.state.budget.n_signal_only > 0
    # The one of epoch 1 is the best by definition, then two without improvement.
    assert trainer.current_epoch == 3
    assert [observation.epoch for observation in lens.history] == [0, 1, 2, 3]


def test_a_budget_that_never_suffices_leaves_a_full_observation_at_both_ends(tmp_path):
    _, lens = fit(tmp_path, 3, every_n_train_steps=1, seconds=0.0, max_overhead=0.001, verbose=False)
    assert [observation.is_full for observation in lens.history] == [True, False, False, False, False, False, True]
    assert lens.state.budget.n_signal_only == 6


SCRIPT = """
import json, sys, time
sys.path.insert(0, sys.argv[2])
import test_budget_in_training as t
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset
import torch

if __name__ == "__main__":
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(32, 1, 8, 8), torch.randint(0, 3, (32,)))
    lens = t.lens_of(verbose=False, max_overhead=0.3)
    stop = t.EarlyStopping("factorlens_total/rmse/rank_2", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    trainer = Trainer(max_epochs=80, accelerator="cpu", devices=2, strategy="ddp", callbacks=[lens, stop], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    module = t.Slow(0.05 if trainer.global_rank else 0.1)  # the clocks of the processes differ
    trainer.fit(module, DataLoader(data, 8), DataLoader(data, 8))
    found = {"full": [o.is_full for o in lens.history], "series": [o.value("rmse", "total", 2) for o in lens.history],
        "epoch": trainer.current_epoch}
    json.dump(found, open(f"{sys.argv[1]}/{trainer.global_rank}.json", "w"))
"""


@pytest.mark.slow
def test_two_processes_make_the_same_observations(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    here = str(Path(__file__).parent)
    command = [sys.executable, tmp_path / "train.py", tmp_path, here]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    zero, one = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert zero == one
    assert zero["epoch"] == 3
    assert len(zero["full"]) == 4
    assert (zero["full"][0], zero["full"][-1]) == (True, True)
    assert None not in zero["series"]
