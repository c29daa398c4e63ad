"""Trainings with other callbacks, intervals and ends than usual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from torch import nn

from benchmarks.safety.bitwise_identity.situations.base import (
    Classifier,
    Situation,
    Training,
    training_loader,
    validation_loader,
)
from benchmarks.safety.bitwise_identity.situations.data import CLASSES

QUIET: dict[str, Any] = {
    "logger": False,
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


class ValidatesAgain(Callback):
    """Validates the module with another Trainer after every epoch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validates and gives the module its Trainer back."""
        (metrics,) = Trainer(**QUIET).validate(pl_module, validation_loader(), verbose=False)
        self.losses.append(metrics["val_loss"])
        pl_module.trainer = trainer


class FitsAProbe(Callback):
    """Fits a linear classifier with another Trainer after every epoch."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fits."""
        probe = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)))
        Trainer(**QUIET, max_epochs=1).fit(probe, training_loader())


class Fails(Classifier):
    """Raises an exception in the second epoch.

    Args:
        error: The exception.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = [error]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Raises after the first batch of the second epoch."""
        if self.current_epoch == 1 and batch_idx == 1:
            raise self.error[0]
        return super().training_step(batch, batch_idx)


def plain(*callbacks: Callable[[Path], Callback], **options: Any) -> Callable[[Path], Training]:
    """A plain training with callbacks and options of the Trainer."""

    def make(folder: Path) -> Training:
        return Training(callbacks=[callback(folder) for callback in callbacks], trainer=options)

    return make


def failing(error: type[BaseException]) -> Callable[[Path], Training]:
    """A training that an exception ends."""
    return lambda _: Training(module=Fails(error("in training_step")), ends_with=error)


def checkpoints(folder: Path) -> ModelCheckpoint:
    """Checkpoints within an epoch, by a monitored value of the user."""
    name = "{epoch}-{step}"
    return ModelCheckpoint(folder / "kept", name, "train_loss", every_n_train_steps=2, save_top_k=2, save_last=True)


def stopping(_: Path) -> EarlyStopping:
    """Stops where the user's loss does not fall by half."""
    return EarlyStopping("train_loss_epoch", min_delta=0.5, patience=1, check_on_train_epoch_end=True)


SAVING = {"enable_checkpointing": True}
OFTEN = {"every_n_train_steps": 1}
SITUATIONS = tuple(
    Situation("run", name, make, lens)
    for name, make, lens in (
        ("ModelCheckpoint every 2 steps", plain(checkpoints, **SAVING), {}),
        ("ModelCheckpoint every 2 steps, observed every step", plain(checkpoints, **SAVING), OFTEN),
        ("EarlyStopping by the user's loss", plain(stopping, max_epochs=5), {}),
        ("accumulation and val_check_interval", plain(accumulate_grad_batches=2, val_check_interval=2), {}),
        (
            "validation every 2 batches across epochs",
            plain(val_check_interval=2, check_val_every_n_epoch=None),
            {"every_n_train_steps": 2},
        ),
        ("limit_val_batches=0", plain(limit_val_batches=0), {}),
        ("no sanity check", plain(num_sanity_val_steps=0), {}),
        ("whole sanity check", plain(num_sanity_val_steps=-1), {}),
        ("inference_mode=False", plain(inference_mode=False), {}),
        ("clipped gradients", plain(gradient_clip_val=0.1), {}),
        ("deterministic", plain(deterministic=True), {}),
        ("overfit_batches", plain(overfit_batches=2), {}),
        ("max_steps within an epoch", plain(max_epochs=-1, max_steps=4), {}),
        ("LearningRateMonitor", plain(lambda _: LearningRateMonitor()), {}),
        ("second Trainer validates the module", plain(lambda _: ValidatesAgain()), {}),
        ("second Trainer fits a probe", plain(lambda _: FitsAProbe()), {}),
        ("max_overhead", plain(), {"max_overhead": 0.5}),
        ("signal only between the first and the last observation", plain(), {"max_overhead": 1e-9}),
        ("interrupted", failing(KeyboardInterrupt), {}),
        ("error of the user", failing(ValueError), {}),
    )
) + tuple(
    Situation("run", name, make, lens, restores_best=True)
    for name, make, lens in (
        ("best weights kept", plain(max_epochs=3), {}),
        ("best weights kept within epochs", plain(checkpoints, **SAVING), {"every_n_train_steps": 2}),
        ("best weights kept, error of the user", failing(ValueError), {}),
    )
)
