"""The training steps of transformers' Trainer, whose losses are passed on."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any


class WatchedTrainingStep:
    """Takes the place of a Trainer's ``training_step``: makes the same step, and passes its loss on.

    ``training_step`` returns the loss of one micro-batch by which the gradients are computed, on its device. Its sum
    over the ``n`` micro-batches of an optimizer step is the loss of that step: the Trainer divides the mean loss of a
    micro-batch by ``n``; or the sum over its items, such as tokens, by their number in all micro-batches of the step
    (``num_items_in_batch``), where the model or ``compute_loss_func`` takes that number. Multiplied by ``n``, the
    losses have a mean over all micro-batches in which micro-batches have equal weights in the first case, and the items
    of a step in the second. It is what the Trainer logs as ``loss`` where all steps have equally many micro-batches;
    the Trainer's own mean is over steps. Several devices of one process are averaged already, and several processes by
    `TrainingLoss.mean`.

    Args:
        trainer: The Trainer.
        receive: Called with the Trainer and the loss of every training step, as the Trainer returns it.

    Attributes:
        receive: The function to which losses are passed on.
    """

    def __init__(self, trainer: Any, receive: Callable[[Any, Any], None]) -> None:
        self.receive = receive
        self._trainer = trainer
        self._training_step = trainer.training_step
        # without its __dict__, since two callbacks of one Trainer each have a WatchedTrainingStep with attributes
        update_wrapper(self, self._training_step, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Makes the step of the Trainer, and returns what it returns."""
        loss = self._training_step(*args, **kwargs)
        self.receive(self._trainer, loss)
        return loss


def is_watched(training_step: Any, receive: Callable[[Any, Any], None]) -> bool:
    """Whether a training step, or one that it wraps, passes its loss on to a function.

    Args:
        training_step: The ``training_step`` of a Trainer.
        receive: The function.
    """
    while training_step is not None:
        if isinstance(training_step, WatchedTrainingStep) and training_step.receive == receive:
            return True
        training_step = getattr(training_step, "__wrapped__", None)
    return False
