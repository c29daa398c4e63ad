"""A run that keeps and restores its best weights, in a process that can be killed."""

import os
import signal
import sys
import warnings
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback, LabelFreeStopping
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.stopping import Decision, Rule

@dataclass(frozen=True)
class Best(Rule):
    epochs: tuple = (1, 3)

    def start(self):
        return {"best": None}

    def step(self, state, value, info):
        best = info.epoch if info.epoch in self.epochs else state["best"]
        return {"best": best}, Decision(info.epoch == 5, best, value, "as planned")


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


class Copy(Callback):
    """Copies the weights of the best epoch, without the package, and kills the process in another epoch."""

    def __init__(self, out, kill_in):
        self.out = out
        self.kill_in = kill_in

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            torch.save(pl_module.state_dict(), f"{self.out}/copy{trainer.global_rank}.pt")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == self.kill_in - 1 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_end(self, trainer, pl_module):
        torch.save(pl_module.state_dict(), f"{self.out}/last{trainer.global_rank}.pt")

    def teardown(self, trainer, pl_module, stage):
        torch.save(pl_module.state_dict(), f"{self.out}/final{trainer.global_rank}.pt")


def fit(out, strategy, devices, kill_in):
    """Trains from the last checkpoint, if there is one, until the rule stops or the process is killed."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(32, 1, 8, 8, generator=g), torch.randint(0, 3, (32,), generator=g))
    lens = FactorLensCallback(probe_size=16, measurements=[Consistency()], verbose=False)
    stop = LabelFreeStopping(rule=Best(), mode="stop", restore_best=True, verbose=False)
    keep = ModelCheckpoint(f"{out}/kept", save_last=True, save_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=9, accelerator="cpu", devices=devices, strategy=strategy, logger=False,
        callbacks=[keep, stop, lens, Copy(out, kill_in)], enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module = Net()
    last = f"{out}/kept/last.ckpt"
    trainer.fit(module, DataLoader(data, 8), DataLoader(data, 8), ckpt_path=last if os.path.exists(last) else None)
    files = sorted(f"{out}/kept/{name}" for name in os.listdir(f"{out}/kept") if ".pt" in name)
    found = {"weights": module.state_dict(), "epoch": stop.best_epoch, "path": stop.best_weights_path, "files": files}
    torch.save(found, f"{out}/end{trainer.global_rank}.pt")


if __name__ == "__main__":
    fit(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
