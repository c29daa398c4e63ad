"""LightningCLI and a YAML file can set every argument; objects are named by class_path."""

import sys

import pytest
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningCLI
from models import Classifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens.capture.signs import Denormalize
from lightning_factorlens.factorization import HALS, L2

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
        resample_probe: false
        every_n_epochs: 1
        every_n_train_steps: null
        prefix: view
        detail: layers
        max_overhead: 0.999
        on_error: raise
        verbose: false
        measurements:
          - class_path: lightning_factorlens.measurements.Consistency
            init_args: {shift: 2}
          - class_path: lightning_factorlens.measurements.RankAtError
            init_args: {thresholds: [0.5]}
          - class_path: lightning_factorlens.measurements.ReconstructionError
          - class_path: own_measurement.PeakActivation
          - class_path: quantile_measurement.ActivationQuantile
            init_args: {fraction: 0.25}
        lens:
          ranks: [1, 2, 4]
          layers: ["re:relu"]
          weighting: raw
          activation_sign_policy: semi
          max_neurons_per_layer: 100
          seed: 3
          input_sign_policy:
            class_path: lightning_factorlens.capture.signs.Denormalize
            init_args: {mean: [0.5], std: [0.5]}
          solver:
            class_path: lightning_factorlens.factorization.HALS
            init_args:
              n_init: 2
              penalty_F:
                class_path: lightning_factorlens.factorization.L2
                init_args: {weight: 0.01}
        tensorboard:
          layout: false
          figures_every_n: 0
        sinks:
          - class_path: lightning_factorlens.JSONLinesSink
            init_args: {path: curves.jsonl}
    - class_path: lightning.pytorch.callbacks.EarlyStopping
      init_args: {monitor: view/consistency, patience: 10, check_on_train_epoch_end: true}
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


def run_cli(monkeypatch, folder, *arguments):
    """The callback and the Trainer of a run from the command line."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["main.py", "fit", *arguments])
    trainer = LightningCLI(Net, Data).trainer
    return trainer.callbacks[0], trainer


@pytest.mark.filterwarnings("ignore")
def test_a_yaml_file_sets_every_argument(tmp_path, monkeypatch):
    (tmp_path / "fit.yaml").write_text(YAML)
    callback, trainer = run_cli(monkeypatch, tmp_path, "--config", "fit.yaml")
    assert [measurement.name for measurement in callback.measurements] == [
        "consistency",
        "required_rank",
        "reconstruction_error",
        "peak_activation",
        "activation_quantile",
    ]
    assert callback.measurements[0].shift == 2
    options = callback.options
    assert options.solver == HALS(n_init=2, penalty_F=L2(0.01))
    assert options.input_sign_policy == Denormalize([0.5], [0.5])
    assert (options.ranks, options.layers, options.weighting) == ((1, 2, 4), ["re:relu"], "raw")
    assert (options.activation_sign_policy, options.max_neurons_per_layer, options.seed) == ("semi", 100, 3)
    assert (callback.tensorboard.layout, callback.tensorboard.figures_every_n) == (False, 0)
    assert (callback.max_overhead, callback.on_error, callback.verbose) == (0.999, "raise", False)
    assert callback.detail == "layers"
    assert "view_total/rmse/rank_4" in trainer.callback_metrics
    assert "view/rank_at_50pct" in trainer.callback_metrics
    assert "view/peak_activation" in trainer.callback_metrics
    assert "view/activation_quantile" in trainer.callback_metrics
    assert (tmp_path / "curves.jsonl").read_text().count("\n") == 3


@pytest.mark.filterwarnings("ignore")
def test_a_yaml_file_without_options_takes_the_defaults(tmp_path, monkeypatch):
    text = (
        YAML.partition("  callbacks:")[0] + "  callbacks:\n    - class_path: lightning_factorlens.FactorLensCallback\n"
    )
    (tmp_path / "fit.yaml").write_text(text + "      init_args: {probe_size: 32, verbose: false}\n")
    callback, trainer = run_cli(monkeypatch, tmp_path, "--config", "fit.yaml")
    assert callback.options.ranks == (1, 2, 4, 8, 16, 32)
    assert "factorlens/consistency" in trainer.callback_metrics
