"""Where in the course of training a look stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer

from lightning_factorlens._private_api import add_batches_that_stepped, batches_that_stepped


def log_step(trainer: Trainer, after_epoch: bool) -> int:
    """The x at which Lightning itself logs in this hook, so that our points stand below the user's.

    Its loop counts on before `on_train_epoch_end` and takes the last batch's step for what is logged there.
    """
    return max(0, batches_that_stepped(trainer) - after_epoch)


@contextmanager
def as_previous_epoch_end(trainer: Trainer) -> Iterator[None]:
    """Inside, in `on_train_start` of a resumed run, epoch and x are those of the epoch end that Lightning left out."""
    progress = trainer.fit_loop.epoch_progress.current
    progress.completed -= 1
    add_batches_that_stepped(trainer, 1)
    try:
        yield
    finally:
        progress.completed += 1
        add_batches_that_stepped(trainer, -1)
