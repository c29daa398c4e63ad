"""Failures of the lens: training goes on, or ends, as it would without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.safety.bitwise_identity.record import PREFIXES, Memory
from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, Training, trains
from benchmarks.safety.bitwise_identity.situations.stateful_models import HiddenState


class FailingSink:
    """Cannot write, as a full disk or a server that is down.

    Args:
        first_epoch: Earlier observations are written.
    """

    def __init__(self, first_epoch: int = 0) -> None:
        self.first_epoch = first_epoch

    def write(self, observation: Any) -> None:
        """Fails.

        Raises:
            OSError: From the first epoch on.
        """
        if observation.epoch >= self.first_epoch:
            raise OSError("the disk is full")

    def close(self) -> None:
        """Fails too.

        Raises:
            OSError: Always.
        """
        raise OSError("the disk is full")


class RefusingLogger(Memory):
    """Takes the user's metrics and refuses those of the lens, as a server that limits their number."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Fails for metrics of the lens.

        Raises:
            ConnectionError: There are metrics of the lens.
        """
        if any(name.startswith(PREFIXES) for name in metrics):
            raise ConnectionError("413 request too large")
        super().log_metrics(metrics, step)


class OutOfMemory(HiddenState):
    """Has memory for the passes of its own steps alone; other passes fail after they have moved the hidden state."""

    n_steps_running = 0

    def loss(self, batch: Any) -> torch.Tensor:
        """The loss, for which there is memory."""
        self.n_steps_running += 1
        try:
            return super().loss(batch)
        finally:
            self.n_steps_running -= 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores, shape (N, 3).

        Raises:
            torch.OutOfMemoryError: The pass is not one of a step.
        """
        scores = super().forward(x)
        if not self.n_steps_running:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return scores


class LaterOutOfMemory(OutOfMemory):
    """Has memory for everything in the first epoch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores, shape (N, 3).

        Raises:
            torch.OutOfMemoryError: The pass is not one of a step, after the first epoch's beginning.
        """
        if self._trainer is None or self.trainer.global_step == 0:
            return HiddenState.forward(self, x)
        return super().forward(x)


class RaisesInHook(Callback):
    """Raises in a hook of the user while the lens is in the Trainer."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("callback of the user")


def refused(_: Path) -> Training:
    """Two loggers, one of which refuses the lens's metrics."""
    return Training(trainer={"logger": [Memory(), RefusingLogger()]})


def raised_elsewhere(_: Path) -> Training:
    """Another callback ends the training after an epoch."""
    return Training(callbacks=[RaisesInHook()], ends_with=RuntimeError)


SITUATIONS = tuple(
    Situation("failure", name, make, {"on_error": "warn", **lens}, lens_fails)
    for name, make, lens, lens_fails in (
        ("sink that cannot write", trains(Classifier), {"sinks": [FailingSink()]}, True),
        ("sink that cannot write later", trains(Classifier), {"sinks": [FailingSink(1)]}, True),
        ("logger that refuses the lens", refused, {}, True),
        ("out of memory in every observation", trains(OutOfMemory), {}, True),
        ("out of memory in later observations", trains(LaterOutOfMemory), {}, True),
        ("callback of the user raises", raised_elsewhere, {}, False),
    )
)
