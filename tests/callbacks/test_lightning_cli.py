"""LightningCLI and a YAML file can set every argument; objects are named by class_path."""

import sys

import pytest
import torch
from lightning.pytorch import LightningDataModule
from models import Classifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

YAML = """
seed_everything: 1
trainer:
  max_epochs: 2
  accelerator: cpu
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: lightning_factorlens.FactorLensCallback
      init_args:
        probe_size: 16
        ranks: [1, 2, 4]
        layers: ["re:relu"]
        weighting: raw
        error_thresholds: [0.5]
        input_sign_policy:
          class_path: lightning_factorlens.capture.signs.Unnormalize
          init_args: {mean: [0.5], std: [0.5]}
        solver:
          class_path: lightning_factorlens.factorization.HALS
          init_args:
            n_init: 2
            penalty_F:
              class_path: lightning_factorlens.factorization.L2
              init_args: {weight: 0.01}
        sinks:
          - class_path: lightning_factorlens.JSONLinesSink
            init_args: {path: curves.jsonl}
    - class_path: lightning.pytorch.callbacks.EarlyStopping
      init_args: {monitor: factorlens/consistency, patience: 10, check_on_train_epoch_end: true}
"""


class Net(Classifier):
    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(4 * 36, 3)

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).flatten(1))


class Data(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(32, 1, 8, 8) * 2 - 1, torch.randint(0, 3, (32,))), 8)

    val_dataloader = train_dataloader


@pytest.mark.filterwarnings("ignore")
def test_yaml(tmp_path, monkeypatch):
    from lightning.pytorch.cli import LightningCLI

    (tmp_path / "fit.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["main.py", "fit", "--config", "fit.yaml"])
    trainer = LightningCLI(Net, Data).trainer
    assert "factorlens/rmse/rank_4" in trainer.callback_metrics
    assert "factorlens/rank_at_50pct" in trainer.callback_metrics
    assert (tmp_path / "curves.jsonl").read_text().count("\n") == 3
