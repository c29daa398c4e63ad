"""The stage of a Trainer in which the lens runs the user's hooks and forward passes: that of a validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import RunningStage
from lightning.pytorch.utilities.model_helpers import is_overridden

#: Names of callbacks that validate with other weights than those that are trained.
AVERAGING_CALLBACKS = ("WeightAveraging",)


@contextmanager
def validation_stage(trainer: Trainer) -> Iterator[None]:
    """Inside, ``trainer.validating`` is True and ``trainer.training`` False, as during the validation within a fit.

    Args:
        trainer: The Trainer; afterwards its stage is the one in which it was found.

    Yields:
        Nothing.

    Example:
        >>> trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
        >>> trainer.training = True
        >>> with validation_stage(trainer):
        ...     trainer.training, trainer.validating
        (False, True)
        >>> trainer.training, trainer.validating
        (True, False)
    """
    stage = trainer.state.stage
    trainer.state.stage = RunningStage.VALIDATING
    try:
        yield
    finally:
        trainer.state.stage = stage


class ForwardContext:
    """Makes the context of the lens's forward passes: the Trainer's precision, in the stage of a validation.

    Args:
        trainer: The Trainer.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Yields nothing."""
        with validation_stage(self.trainer), self.trainer.precision_plugin.forward_context():
            yield


def swapped_weights(trainer: Trainer, pl_module: LightningModule) -> str | None:
    """What makes validation use other weights than those that are trained, and so others than the lens observes.

    The lens does not call such hooks: whether they restore weights, optimizer and attributes exactly is not known.

    Args:
        trainer: The Trainer, with its optimizers and callbacks.
        pl_module: The module.

    Returns:
        A description; None if nothing of the known kinds is used.
    """
    if is_overridden("on_validation_model_eval", pl_module, LightningModule):
        return f"{type(pl_module).__name__}.on_validation_model_eval"
    for optimizer in trainer.optimizers:
        if callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None)):
            return f"the method `eval` of {type(optimizer).__name__}"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if any(kind.__name__ in AVERAGING_CALLBACKS for kind in _bases(callback)):
            return f"the callback {type(callback).__name__}"
    return None


def _bases(callback: Callback) -> tuple[type, ...]:
    return type(callback).__mro__
