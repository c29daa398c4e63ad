"""Callbacks that seed, interrupt and record a training, so that two trainings can be compared."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import Logger

from benchmarks.safety.bitwise_identity.described import describe, digest, own_attributes
from lightning_factorlens import FactorLensCallback

PREFIXES = ("factorlens", "other")


class Seed(Callback):
    """Seeds in the process that trains, because Python seeds its generator anew in a forked process."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Seeds before anything is drawn."""
        torch.manual_seed(7)
        np.random.seed(7)
        random.seed(7)


class Save(Callback):
    """Writes the checkpoint from which training is resumed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves in the middle of an epoch, where training ends."""
        trainer.save_checkpoint(self.folder / "middle.ckpt")


class Memory(Logger):
    """A logger that keeps every logged value in order."""

    name, version = "memory", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keeps the step and the values."""
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Ignored."""


class Record(Callback):
    """Writes, in every process and when fit ends, everything that must not depend on the lens.

    Args:
        folder: Folder of the records.
        objects: Objects of the user that are compared too, such as the generator of a class; the loaders, their
            datasets and what the modules hold are always compared.
    """

    def __init__(self, folder: Path, objects: Any = None) -> None:
        self.folder = folder
        self.objects = objects
        self.batches: list[tuple[str, int, int, str]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Notes which samples the training step gets."""
        self.batches.append(("train", 0, batch_idx, digest(batch)))

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Notes which samples the validation step gets."""
        self.batches.append((f"{trainer.state.stage}", dataloader_idx, batch_idx, digest(batch)))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the record of a training that has come to its end."""
        self._write(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Writes the record of a training that an exception ends."""
        self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collects everything on which a later step, epoch or run could depend."""
        path = self.folder / "end.ckpt"
        trainer.save_checkpoint(path)
        checkpoint = torch.load(path, weights_only=True)
        lens_keys = [c.state_key for c in trainer.callbacks if type(c).__module__.startswith("lightning_factorlens")]  # type: ignore[attr-defined]
        checkpoint["callbacks"] = {k: v for k, v in checkpoint["callbacks"].items() if k not in lens_keys}
        rows = [row for logger in trainer.loggers if isinstance(logger, Memory) for row in logger.rows]
        logged = [(step, _without_lens(metrics)) for step, metrics in rows]
        lenses = [c for c in trainer.callbacks if isinstance(c, FactorLensCallback)]  # type: ignore[attr-defined]
        random_state = {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}
        compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        found = {
            "checkpoint": checkpoint,
            "weights": {**pl_module.state_dict(keep_vars=False)},
            "strides": {k: v.stride() for k, v in pl_module.state_dict().items() if v.layout == torch.strided},
            "gradients": {k: p.grad for k, p in pl_module.named_parameters()},
            "optimizers": [o.state_dict() for o in trainer.optimizers],
            "logged": [row for row in logged if set(row[1]) - {"epoch"}],
            "metrics": _without_lens(trainer.callback_metrics),
            "random": random_state,
            "flags": {name: module.training for name, module in pl_module.named_modules()},
            "requires_grad": {k: p.requires_grad for k, p in pl_module.named_parameters()},
            "hooks": {n: (len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in pl_module.named_modules()},
            "batches": self.batches,
            "objects": {"data": _data(trainer), "named": describe(self.objects)},
            "attributes": {name: describe(own_attributes(module)) for name, module in pl_module.named_modules()},
            "graphs": compiled,
            "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
            "lens": [(c.state.n_measured, c.state.n_failed) for c in lenses],
        }
        torch.save(found, self.folder / f"rank{trainer.global_rank}.pt")


def _data(trainer: Trainer) -> Any:
    """The loaders with their datasets, samplers, collate functions and generators, and the data module."""
    return describe([trainer.train_dataloader, trainer.val_dataloaders, getattr(trainer, "datamodule", None)])


def _without_lens(metrics: Any) -> dict[str, Any]:
    """The metrics that the lens did not log."""
    lens_prefixes = tuple(f"{prefix}{end}" for prefix in PREFIXES for end in ("/", "_"))
    return {k: v for k, v in metrics.items() if not k.startswith(lens_prefixes)}
