"""Trains one set-up, with or without the lens, and returns everything that is compared at its end."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, StochasticWeightAveraging
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.safety.bitwise_identity.models import CLASSES, FAMILIES
from benchmarks.safety.bitwise_identity.record import Memory, Record, Save, Seed
from benchmarks.safety.bitwise_identity.setups import SetUp
from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions, TensorBoardOptions
from lightning_factorlens.factorization import HALS

BATCHES = 5
BATCH = 8
EPOCHS = 3


class Images(Dataset[tuple[Tensor, int]]):
    """Fixed random images with labels; the augmentation draws from torch, numpy or Python for every image."""

    def __init__(self, n: int, augmentation: str = "none", seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.x, self.y = torch.rand(n, 3, 8, 8, generator=g), torch.randint(CLASSES, (n,), generator=g)
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        draws = {"none": lambda: 0.0, "torch": lambda: float(torch.rand(())), "numpy": np.random.rand}
        draw = float({**draws, "python": random.random}[self.augmentation]())
        return self.x[i] * (1 - 0.2 * draw), int(self.y[i])


class Student(LightningModule):
    """Trains a network as a set-up describes."""

    def __init__(self, setup: SetUp) -> None:
        super().__init__()
        self.setup_, self.net = setup, FAMILIES[setup.model]()
        self.generator = nn.Linear(4, 192) if setup.model == "gan" else None
        self.automatic_optimization = self.generator is None

    def configure_model(self) -> None:
        """Compiles the network in the process that trains it."""
        kind, _, backend = self.setup_.compile.partition(", ")
        if kind == "net" and not isinstance(self.net, torch._dynamo.OptimizedModule):
            self.net = cast(nn.Module, torch.compile(self.net, backend=backend))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Logs at every step and epoch; a GAN takes one step of each of its optimizers."""
        if self.generator is not None:
            self._gan_step(batch[0])
            return None
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def _gan_step(self, real: Tensor) -> None:
        assert self.generator is not None
        optimizers: Any = self.optimizers()
        for optimizer, sign in zip(optimizers, (-1, 1)):
            self.toggle_optimizer(optimizer)
            fake = self.generator(torch.randn(len(real), 4).to(real)).view_as(real)
            loss = sign * (self(fake).sigmoid().mean() - self(real).sigmoid().mean())
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)
            self.log(f"loss_{sign}", loss)
        schedulers = self.lr_schedulers() or []
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            scheduler.step()  # type: ignore[call-arg]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the loss."""
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        """One optimizer, or two for a GAN, each with its schedule."""
        if self.generator is None:
            return self._optimizer(self.net)
        pairs = [self._optimizer(self.generator), self._optimizer(self.net)]
        if self.setup_.schedule == "none":
            return pairs
        return [p["optimizer"] for p in pairs], [p["lr_scheduler"] for p in pairs]

    def _optimizer(self, module: nn.Module) -> Any:
        make: dict[str, Any] = {
            "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, 0.01),
            "adamw": lambda p: torch.optim.AdamW(p, 0.01), "lbfgs": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3),
        }  # fmt: skip
        optimizer = make[self.setup_.optimizer]([p for p in module.parameters() if p.requires_grad])
        rates = torch.optim.lr_scheduler
        if self.setup_.schedule == "step":
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates.StepLR(optimizer, 1, 0.5)}}
        if self.setup_.schedule == "one cycle":
            momentum = self.setup_.optimizer != "lbfgs"
            cycle = rates.OneCycleLR(optimizer, 0.1, EPOCHS * BATCHES + 5, cycle_momentum=momentum)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
        if self.setup_.schedule == "plateau":
            plateau = rates.ReduceLROnPlateau(optimizer, patience=0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "train_loss"}}
        return optimizer if self.generator is None else {"optimizer": optimizer}


def lens_callbacks(kind: str) -> list[Callback]:
    """The lenses of a set-up, with small options."""
    if kind == "two and a stop":
        other = small_lens(layers="*", prefix="other", every_n_train_steps=3)
        # the loss of the GAN does not show that its scores are those of classes
        return [small_lens(outputs="classes"), other, LabelFreeStopping(verbose=False)]
    if kind == "every 2 steps":
        return [small_lens(every_n_train_steps=2)]
    return [small_lens(resample_probe=kind == "resampled")]


def small_lens(layers: str | None = None, **options: Any) -> FactorLensCallback:
    """A lens with few samples and ranks, whose errors end the training unless ``options`` say otherwise.

    Every observation is full unless ``options`` set a limit, so that all of the lens's code runs between the steps.
    """
    small: dict[str, Any] = {
        "probe_size": 16,
        "lens": LensOptions(layers=layers, ranks=(1, 2, 4), solver=HALS(n_init=1)),
        "tensorboard": TensorBoardOptions(figures_every_n=0),
        "max_overhead": None,
        "on_error": "raise",
        "verbose": False,
    }
    return FactorLensCallback(**{**small, **options})


def train(setup: SetUp, folder: Path, make_callbacks: Callable[[], list[Callback]]) -> list[dict[str, Any]]:
    """Trains one set-up.

    Args:
        setup: What to train.
        folder: Folder for all files; it is emptied first. Both trainings use the same folder, as checkpoints name it.
        make_callbacks: Returns new callbacks to compare with and without; called for every Trainer.

    Returns:
        The record of each process.
    """
    shutil.rmtree(folder, ignore_errors=True)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    if setup.resume:
        middle = BATCHES // setup.accumulate + 1  # within the second epoch
        _fit(setup, folder, [*make_callbacks(), Save(folder)], None, max_steps=middle)
    checkpoint = folder / "middle.ckpt" if setup.resume else None
    _fit(setup, folder, [*make_callbacks(), Record(folder)], checkpoint, max_epochs=EPOCHS)
    return [torch.load(folder / f"rank{r}.pt", weights_only=False) for r in range(setup.devices)]


def _fit(setup: SetUp, folder: Path, callbacks: list[Callback], checkpoint: Path | None, **length: int) -> None:
    averaging: dict[str, list[Callback]] = {
        "none": [], "ema": [EMAWeightAveraging(decay=0.8)], "swa": [StochasticWeightAveraging(0.02, 1)],
    }  # fmt: skip
    validation: dict[str, dict[str, Any]] = {
        "every epoch": {}, "every 2 epochs": {"check_val_every_n_epoch": 2},
        "twice an epoch": {"val_check_interval": 0.5}, "none": {"limit_val_batches": 0},
    }  # fmt: skip
    keep = ModelCheckpoint(folder / "kept", monitor="train_loss" if setup.model != "gan" else None, save_top_k=1)
    # Each loss of a GAN does not depend on the other network's parameters.
    strategy = "ddp_fork_find_unused_parameters_true" if setup.model == "gan" else "ddp_fork"
    strategy = strategy if setup.devices > 1 else "auto"
    trainer = Trainer(
        **length, **validation[setup.validation], precision=setup.precision, logger=Memory(), log_every_n_steps=1,  # type: ignore[arg-type]
        callbacks=[Seed(), *averaging[setup.averaging], keep, *callbacks], accumulate_grad_batches=setup.accumulate,
        accelerator="cpu", devices=setup.devices, strategy=strategy,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    options: dict[str, Any] = {"batch_size": BATCH, "num_workers": setup.workers}
    if setup.workers:
        options["multiprocessing_context"] = "fork"  # Python 3.14 would start each anew, slowly
    data = Images(BATCHES * BATCH * setup.devices, setup.augmentation), Images(3 * BATCH, setup.augmentation, 1)
    torch.manual_seed(7)
    module: Any = Student(setup)
    if setup.compile.startswith("whole"):
        module = torch.compile(module, backend=setup.compile.partition(", ")[2])
    # The validation loader shuffles, so that drawing a batch from it would change the random state.
    trainer.fit(
        module, DataLoader(data[0], shuffle=True, **options), DataLoader(data[1], shuffle=True, **options),
        ckpt_path=checkpoint,
    )  # fmt: skip
