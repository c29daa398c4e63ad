"""A run in which each process holds a part of the weights; it keeps the weights of an epoch and restores them."""

import copy
import os
import warnings

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens.callbacks._best_weights import BestWeights


class Net(LightningModule):
    """Two linear layers that are split between the processes."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def configure_model(self):
        mesh = self.device_mesh["tensor_parallel"]
        parallelize_module(self.net, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


class Keep(Callback):
    """Uses the object that keeps weights as LabelFreeStopping does."""

    def __init__(self):
        self.weights = BestWeights("test")
        self.said = ""

    def on_train_start(self, trainer, pl_module):
        self.weights.open(trainer, None)

    def on_train_epoch_end(self, trainer, pl_module):
        epoch = trainer.current_epoch + 1
        if epoch in (1, 2):
            self.weights.take(trainer, epoch)
            self.weights.judge(trainer, is_best=True)
            self.copied = local_parts(pl_module)

    def on_train_end(self, trainer, pl_module):
        self.last = local_parts(pl_module)

    def on_fit_end(self, trainer, pl_module):
        self.said = self.weights.finish(trainer, best_epoch=2).words


def local_parts(module):
    """Copies of the parts of the weights that this process holds."""
    state = copy.deepcopy(module.state_dict())
    return {name: value.to_local() if hasattr(value, "to_local") else value for name, value in state.items()}


def fit(out, rank, port, as_one_file):
    """Trains in one of two processes."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(32, 8, generator=g), torch.randint(0, 4, (32,), generator=g))
    keep = Keep()
    strategy = ModelParallelStrategy(
        data_parallel_size=1, tensor_parallel_size=2, save_distributed_checkpoint=not as_one_file
    )
    trainer = Trainer(
        max_epochs=4, accelerator="cpu", devices=2, strategy=strategy, callbacks=[keep], logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, default_root_dir=out,
    )  # fmt: skip
    module = Net()
    trainer.fit(module, DataLoader(data, 8))
    found = {"copied": keep.copied, "last": keep.last, "end": local_parts(module), "said": keep.said}
    found["path"] = keep.weights.best.path
    torch.save(found, f"{out}/end{rank}.pt")
