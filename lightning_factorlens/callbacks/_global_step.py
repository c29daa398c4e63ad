"""The step at which a measurement is logged, so that it has the same x as Lightning's own points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer

from lightning_factorlens._private_api.trainer import add_batches_that_stepped, batches_that_stepped


def log_step(trainer: Trainer, after_epoch: bool) -> int:
    """Returns the step at which Lightning itself logs in the current hook.

    Args:
        trainer: The Trainer.
        after_epoch: Whether the hook is ``on_train_epoch_end``. Lightning has counted on before that hook, but logs
            what is logged there at the step of the last batch.

    Returns:
        The number of batches that have been followed by an optimizer step, minus one after an epoch; at least 0.
    """
    return max(0, batches_that_stepped(trainer) - after_epoch)


@contextmanager
def as_previous_epoch_end(trainer: Trainer) -> Iterator[None]:
    """Gives the Trainer the epoch and step of the previous epoch's end inside the context.

    A run that resumes from a checkpoint written by the last batch of an epoch skips that epoch's end. The context is
    for ``on_train_start`` of such a run, where the hooks of the skipped epoch end are executed.
    """
    progress = trainer.fit_loop.epoch_progress.current
    progress.completed -= 1
    add_batches_that_stepped(trainer, 1)
    try:
        yield
    finally:
        progress.completed += 1
        add_batches_that_stepped(trainer, -1)
