"""Runs of Lightning in two processes whose strategy shards the model, with and without the lens."""

import os
import warnings
from unittest.mock import patch

import torch
import torch.distributed.fsdp as fsdp
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.factorization import HALS
from lightning_factorlens.isolation.sharded_units import reshard
from lightning_factorlens.stopping import Patience

OPTIONS = LensOptions(ranks=(1, 4), solver=HALS(n_init=1, max_iter=5))
#: Epochs of a whole run, and a scalar whose lowest value is not that of the last epoch.
EPOCHS = 3
MONITOR = "factorlens_spectra/alpha_hat"
#: The names of the layers, those of a model without wrappers.
LAYERS = ["blocks.0.0", "blocks.0.1", "blocks.0.2", "blocks.0", "blocks.1.0", "blocks.1.1", "blocks.1.2", "blocks.1"]
LAYERS += ["blocks", "head", ""]
#: Numbers that differ between two runs of the same training.
TIMES = ("seconds", "overhead")


class Block(nn.Sequential):
    """A unit of FSDP."""


class Net(LightningModule):
    """Two blocks, and a head whose parameters belong to the root."""

    def __init__(self, is_fully_sharded=False):
        super().__init__()
        self.is_fully_sharded = is_fully_sharded
        torch.manual_seed(0)
        first = Block(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU())
        self.blocks = nn.Sequential(first, Block(nn.Flatten(), nn.Linear(256, 24), nn.ReLU()))
        self.head = nn.Linear(24, 3)

    def configure_model(self):
        if self.is_fully_sharded and not hasattr(self.head, "unshard") and not hasattr(self, "unshard"):
            from torch.distributed.fsdp import fully_shard

            mesh = self.device_mesh["data_parallel"]
            for block in self.blocks:
                fully_shard(block, mesh=mesh)
            fully_shard(self, mesh=mesh)

    def forward(self, x):
        return self.head(self.blocks(x))

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


class FSDPOnCPU(FSDPStrategy):
    """A class of its own, because Lightning refuses ``FSDPStrategy`` without a GPU, and gives FSDP no device then."""

    def _setup_model(self, model):
        with patch.object(fsdp, "FullyShardedDataParallel", WrapperOnCPU):
            return super()._setup_model(model)


class WrapperOnCPU(FullyShardedDataParallel):
    """FSDP on the device that Lightning does not name."""

    def __init__(self, *args, **arguments):
        super().__init__(*args, **{**arguments, "device_id": torch.device("cpu")})


class Keep(Callback):
    """Keeps the weights after every epoch."""

    def __init__(self):
        self.parts = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.parts.append(parts(pl_module))


def make_strategy(kind):
    if kind == "ModelParallel":
        return ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    return FSDPOnCPU(auto_wrap_policy={Block}, process_group_backend="gloo")


def parts(module):
    """Copies of the parts of parameters and buffers that this process holds."""
    reshard(module)  # the outermost unit may be gathered since a validation
    found = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
        found[name] = local.detach().clone()
    return found


def fit(out, rank, port, kind):
    """Trains in one of two processes: without the lens, with it, and with it in two halves."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(48, 1, 8, 8, generator=g), torch.randint(0, 3, (48,), generator=g))

    def run(callbacks, max_epochs, ckpt_path=None, save=False):
        torch.manual_seed(1)
        module = Net(kind == "ModelParallel")
        trainer = Trainer(
            max_epochs=max_epochs, accelerator="cpu", devices=2, strategy=make_strategy(kind), callbacks=callbacks,
            logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
            default_root_dir=out,
        )  # fmt: skip
        trainer.fit(module, DataLoader(data, 8), DataLoader(data, 20), ckpt_path=ckpt_path)
        if save:
            trainer.save_checkpoint(f"{out}/half.ckpt")
        return parts(module)

    def make_lens():
        outputs = None if kind == "ModelParallel" else "classes"
        return FactorLensCallback(lens=OPTIONS, outputs=outputs, max_overhead=None, on_error="raise", verbose=False)

    found = {"without": run([], EPOCHS)}
    lens = make_lens()
    kept = Keep()
    stopping = LabelFreeStopping(monitor=MONITOR, rule=Patience(9), restore_best=True, verbose=False)
    found["restored"] = run([lens, stopping, kept], EPOCHS)
    found["with"] = kept.parts[EPOCHS - 1]
    found["best"] = kept.parts[stopping.state_dict()["best_epoch"] - 1]
    found["lens"] = summary(lens)
    run([make_lens()], EPOCHS - 1, save=True)
    if kind == "FSDP":  # which Lightning does not resume bit for bit
        found["without, resumed"] = run([], EPOCHS, f"{out}/half.ckpt")
    resumed = make_lens()
    found["resumed"] = run([resumed], EPOCHS, f"{out}/half.ckpt")
    found["resumed lens"] = summary(resumed)
    torch.save(found, f"{out}/end{rank}.pt")


def summary(lens):
    """The numbers of all observations, and how the output is read."""
    numbers = []
    for observation in lens.history:
        numbers.append(
            {(v.quantity, v.scope, v.rank): v.value for v in observation.values() if v.quantity not in TIMES}
        )
    return numbers, lens.state.output_decision, [layer.name for layer in lens.lens.layer_table]
