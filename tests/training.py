"""A network, its data and a Trainer for the tests of the callback."""

import copy
import random

import numpy as np
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

RANKS = (1, 2, 4, 8)


class Net(LightningModule):
    """BatchNorm, Dropout, reused and functional ReLUs: everything that a careless measurement would change."""

    def __init__(self, schedule=None):
        super().__init__()
        self.conv1, self.norm, self.conv2 = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3)
        self.relu, self.drop, self.head = nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        self.schedule = schedule

    def forward(self, x):
        x = self.relu(self.norm(self.conv1(x)))
        x = self.drop(self.relu(self.conv2(x)))
        return self.head(nn.functional.relu(x.mean((2, 3))))

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        if self.schedule is None:
            return optimizer
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": self.schedule}}


def loaders(n=64, size=10, workers=0):
    g = torch.Generator().manual_seed(0)
    make = lambda: TensorDataset(torch.rand(n, 1, size, size, generator=g), torch.randint(0, 3, (n,), generator=g))  # noqa: E731
    return DataLoader(make(), 16, shuffle=True, num_workers=workers), DataLoader(make(), 16, num_workers=workers)


def train(tmp_path, *callbacks, epochs=3, module=None, data=None, **options):
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    module = module or Net()
    arguments = {
        "max_epochs": epochs, "logger": TensorBoardLogger(tmp_path, name="", version=""), "callbacks": list(callbacks),
        "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu",
        "log_every_n_steps": 1,
    }  # fmt: skip
    trainer = Trainer(**{**arguments, **options})
    trainer.fit(module, *(data or loaders()))
    return trainer, module


def lens(**options):
    return make_callback(**{"probe_size": 32, "ranks": RANKS, "verbose": False, **options})


def scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


class Snapshot(Callback):
    def on_train_end(self, trainer, pl_module):
        self.weights = copy.deepcopy(pl_module.state_dict())
        self.optimizer = copy.deepcopy(trainer.optimizers[0].state_dict())
        self.random = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
        self.user = {k: v.clone() for k, v in trainer.callback_metrics.items() if not k.startswith("factorlens")}
