"""What lightning's Trainer and its modules keep to themselves: the logging step, loops, launcher and metrics."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def batches_that_stepped(trainer: Any) -> int:
    """The step at which a ``Trainer`` logs: optimizer steps, counted once per batch."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def add_batches_that_stepped(trainer: Any, count: int) -> None:
    """Moves the step at which a ``Trainer`` logs by ``count``."""
    trainer.fit_loop.epoch_loop._batches_that_stepped += count


def validation_data_source(trainer: Any) -> Any:
    """The source from which a ``Trainer``'s fit loop will load its validation data.

    Returns:
        An object with the methods ``is_defined()`` and ``dataloader()``.
    """
    return trainer.fit_loop.epoch_loop.val_loop._data_source


def trains_in_child_processes(trainer: Any) -> bool:
    """Whether a ``Trainer`` trains copies of its objects in child processes that it starts with multiprocessing."""
    return hasattr(trainer.strategy.launcher, "_start_method")


def callback_metrics_store(trainer: Any) -> dict[str, Tensor]:
    """The dictionary that ``Trainer.callback_metrics`` returns.

    Reading that property computes the user's logged metrics first, which is a collective operation where they are
    synchronized, and which the user's own hooks may not expect yet.
    """
    store: dict[str, Tensor] = trainer._logger_connector._callback_metrics
    return store


def before_batch_transfer(pl_module: Any, batch: Any) -> Any:
    """The batch after the hook ``on_before_batch_transfer`` of a ``LightningModule`` or its datamodule."""
    return pl_module._on_before_batch_transfer(batch, dataloader_idx=0)
