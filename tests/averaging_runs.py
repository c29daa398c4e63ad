"""A run that averages its weights in two processes, whole and resumed, and the same training in one process."""

import copy
import os
import warnings
from dataclasses import dataclass

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from lightning_factorlens import FactorLensCallback, JSONLinesSink, LabelFreeStopping
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.stopping import Decision, Rule

#: The best epoch of the planned rule, and the one that it stops at, which is the last one of the average.
BEST = 2
LAST = 4
RESUMED_FROM = 3


@dataclass(frozen=True)
class Planned(Rule):
    """A rule whose best epoch and stop are given."""

    def start(self):
        return {"best": None}

    def step(self, state, value, info):
        best = info.epoch if info.epoch == BEST else state["best"]
        return {"best": best}, Decision(info.epoch == LAST, best, value, "as planned")


class Net(LightningModule):
    """Without batch norms, so that two processes compute the gradients of one; its buffer differs between processes."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        self.seen += batch[0].mean()
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)


class Copies(Callback):
    """Copies the module's state at the end of every epoch."""

    def __init__(self):
        self.epochs = {}

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs[trainer.current_epoch + 1] = copy.deepcopy(pl_module.state_dict())


def train(out, name, rank=0, n_processes=1, ckpt_path=None):
    """What a run ends with: the weights, copies of each epoch's, and what the callback says about them."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(32, 1, 8, 8, generator=g), torch.randint(0, 3, (32,), generator=g))
    sink = JSONLinesSink(f"{out}/{name}.jsonl")
    probe = data.tensors[0][:16]  # and no validation, in which DistributedDataParallel would make the buffers equal
    lens = FactorLensCallback(probe=probe, measurements=[Consistency()], sinks=[sink], verbose=False)
    stop = LabelFreeStopping(rule=Planned(), mode="stop", restore_best="average", verbose=False)
    keep = ModelCheckpoint(f"{out}/{name}", "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    copies = Copies()
    trainer = Trainer(
        max_epochs=9, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[keep, stop, lens, copies], devices=n_processes, strategy="ddp" if n_processes > 1 else "auto",
        use_distributed_sampler=False,  # Lightning's shuffles
    )  # fmt: skip
    module = Net()
    sampler = DistributedSampler(data, n_processes, rank, shuffle=False)
    trainer.fit(module, DataLoader(data, 16 // n_processes, sampler=sampler), ckpt_path=ckpt_path)
    return {
        "weights": module.state_dict(), "epochs": copies.epochs, "epoch": stop.best_epoch,
        "path": stop.best_weights_path, "history": list(lens.history),
    }  # fmt: skip


def fit(out, rank, port):
    """Trains in one of two processes, and resumes that training from one of its checkpoints."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    found = {"whole": train(out, "whole", rank, 2)}
    checkpoint = f"{out}/whole/epoch={RESUMED_FROM - 1}.ckpt"
    found["resumed"] = train(out, "resumed", rank, 2, checkpoint)
    torch.save(found, f"{out}/end{rank}.pt")
    dist.barrier()
    os._exit(0)  # before torch 2.8 the interpreter's end may wait for ever for a thread of gloo
