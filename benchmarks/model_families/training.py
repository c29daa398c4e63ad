"""Trains the representative of a family once, with or without the callback."""

from __future__ import annotations

import random
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger

from benchmarks.model_families.family import VALIDATION_SAMPLES, Family
from lightning_factorlens import FactorLensCallback, ForwardArgs, LensOptions

SEED = 7
TRAIN_BATCHES = 2
#: Cheap settings, which do not count as arguments: a smaller probe, and nothing printed.
CHEAP: dict[str, Any] = {"probe_size": VALIDATION_SAMPLES, "verbose": False}
#: Characters of an error that are kept.
MAX_ERROR = 300


@dataclass
class Training:
    """One training and what it left.

    Attributes:
        error: Type and message of the error that ended it, shortened; empty where it ended as it should.
        seconds: Wall seconds of the whole fit.
        state: What must not depend on the callback: weights and buffers, states of the optimizers, random states.
        warnings: What the callback warned of.
    """

    error: str
    seconds: float
    state: dict[str, Any] = field(default_factory=dict, repr=False)
    warnings: list[str] = field(default_factory=list)


def make_lens(argument: str = "") -> FactorLensCallback:
    """A callback with the cheap settings and at most one argument.

    Args:
        argument: The argument as Python source, such as ``"forward_fn=ForwardArgs(['image'])"``.
    """
    names = {"ForwardArgs": ForwardArgs, "LensOptions": LensOptions, "torch": torch}
    given = eval(f"dict({argument})", names)
    return FactorLensCallback(**{**CHEAP, **given})


def train(family: Family, lens: FactorLensCallback | None) -> Training:
    """Trains the representative for two batches, from the same seed every time.

    Args:
        family: The family.
        lens: The callback; None trains without it.

    Returns:
        The training, with its error if it raised one.
    """
    seed_everything(SEED, verbose=False)
    task = family.make()
    error = ""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = _trainer(folder, lens)
        try:
            trainer.fit(task.module, task.train_loader, task.val_loader)
        except Exception as raised:
            error = shortened(f"{type(raised).__name__}: {raised}")
    seconds = time.perf_counter() - start
    messages = [shortened(str(warning.message)) for warning in caught]
    from_lens = [message for message in messages if message.startswith("FactorLens")]
    return Training(error, seconds, _state(trainer, task.module), list(dict.fromkeys(from_lens)))


def _trainer(folder: str, lens: FactorLensCallback | None) -> Trainer:
    return Trainer(
        max_epochs=1,
        limit_train_batches=TRAIN_BATCHES,
        limit_val_batches=1,
        accelerator="cpu",
        devices=1,
        log_every_n_steps=1,
        logger=TensorBoardLogger(folder),
        callbacks=[] if lens is None else [lens],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _state(trainer: Trainer, module: torch.nn.Module) -> dict[str, Any]:
    return {
        "weights": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "random": {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()},
    }


def shortened(text: str) -> str:
    """A text in one line of at most `MAX_ERROR` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_ERROR else f"{line[: MAX_ERROR - 1]}…"
