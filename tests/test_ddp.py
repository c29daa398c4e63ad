"""Two real processes: the same keys and values on both ranks, one decision, no hang when rank 0's lens fails."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, sys, warnings
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from lightning_factorlens import FactorLensCallback

out, mode = sys.argv[1:3]
warnings.simplefilter("ignore")
torch.set_num_threads(1)


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 3))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class Tell(Callback):
    def on_train_end(self, trainer, pl_module):
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if not k.endswith(("seconds", "share"))}
        weights = float(sum(p.double().sum() for p in pl_module.parameters()))
        with open(f"{out}/{mode}{trainer.global_rank}.json", "w") as f:
            json.dump({"metrics": metrics, "epoch": trainer.current_epoch, "weights": weights}, f)


class Sabotage(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.is_global_zero:
            lens.lens.observe = lambda *_: 1 / 0


g = torch.Generator().manual_seed(0)
data = TensorDataset(torch.rand(64, 1, 8, 8, generator=g), torch.randint(0, 3, (64,), generator=g))
lens = FactorLensCallback(probe_size=32, ranks=(1, 2, 4), verbose=False)
stop = EarlyStopping("factorlens/rmse/rank_4", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
callbacks = {"none": [], "lens": [lens, stop], "fails": [lens, stop, Sabotage()]}[mode] + [Tell()]
if __name__ == "__main__":
    torch.manual_seed(0)
    trainer = Trainer(
        max_epochs=3 if mode == "none" else 5, accelerator="cpu", devices=2, strategy="ddp", callbacks=callbacks,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(Net(), DataLoader(data, 8), DataLoader(data, 8))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    script = folder / "train.py"
    script.write_text(SCRIPT)

    def run(mode):
        subprocess.run([sys.executable, script, folder, mode], check=True, timeout=240, capture_output=True)
        return [json.loads((folder / f"{mode}{rank}.json").read_text()) for rank in (0, 1)]

    return {mode: run(mode) for mode in ("none", "lens", "fails")}


def test_both_ranks_know_the_same_and_stop_together(told):
    zero, one = told["lens"]
    assert zero == one
    assert "factorlens/consistency" in zero["metrics"]
    assert zero["epoch"] == 3


def test_the_weights_are_those_of_training_without_the_lens(told):
    assert told["none"][0]["weights"] == told["lens"][0]["weights"]


def test_a_lens_that_fails_on_rank_zero_neither_hangs_nor_stops_the_run(told):
    zero, one = told["fails"]
    assert zero == one
    assert zero["epoch"] == 5
