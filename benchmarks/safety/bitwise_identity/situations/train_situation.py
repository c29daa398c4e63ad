"""Trains one situation, with or without the lens, and returns everything that is compared at its end."""

from __future__ import annotations

import random
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer

from benchmarks.safety.bitwise_identity.record import Memory, Record, Seed
from benchmarks.safety.bitwise_identity.situations.base import Situation, Training
from lightning_factorlens import LabelFreeStopping

SEED = 7
EPOCHS = 2


def train_situation(
    situation: Situation, folder: Path, make_callbacks: Callable[[], list[Callback]]
) -> list[dict[str, Any]]:
    """Trains one situation.

    Args:
        situation: What to train.
        folder: Folder for all files; it is emptied first.
        make_callbacks: Returns new callbacks to compare with and without.

    Returns:
        The record of each process.

    Raises:
        BaseException: The training ends in another way than the situation says.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)
    training = situation.make(folder)
    options = {
        "max_epochs": EPOCHS, "logger": Memory(), "log_every_n_steps": 1, "enable_checkpointing": False,
        "accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "enable_model_summary": False,
        "default_root_dir": folder, **training.trainer,
    }  # fmt: skip
    callbacks = [Seed(), *training.callbacks, *make_callbacks(), Record(folder, training.objects)]
    # the record is of the training, after which a callback may put the best weights back
    callbacks.sort(key=lambda callback: isinstance(callback, LabelFreeStopping))
    trainer = Trainer(**options, callbacks=callbacks)
    _fit(trainer, training)
    return [torch.load(folder / f"rank{r}.pt", weights_only=False) for r in range(options["devices"])]


def _fit(trainer: Trainer, training: Training) -> None:
    """Fits, and checks that the training ends as the user means it to."""
    # Lightning ignores further interrupts after the first, and leaves the program by SystemExit.
    interrupted = training.ends_with is KeyboardInterrupt
    expected: Any = SystemExit if interrupted else training.ends_with or ()
    try:
        trainer.fit(training.module, training.train, training.validation)
    except expected:
        pass
    else:
        if training.ends_with is not None:
            raise RuntimeError(f"The training should have ended with {training.ends_with.__name__}, but did not.")
    finally:
        if interrupted and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)
