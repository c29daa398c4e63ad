"""Calls the user's module on a batch, and explains a failure of that call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from lightning_factorlens.capture.batch import find_inputs
from lightning_factorlens.capture.forward_fn import ForwardFn


class ModuleForward:
    """Calls the user's module on a batch in the way the Trainer does, but without its logging.

    The object can be pickled, and one object serves a whole run.

    Args:
        trainer: Its precision plugin converts the inputs.
        pl_module: The module whose logging is suppressed.
        forward_fn: Function of the module and a batch that returns the output; None to call the module on the batch.
    """

    def __init__(self, trainer: Trainer, pl_module: LightningModule, forward_fn: ForwardFn | None = None) -> None:
        self.trainer = trainer
        self.pl_module = pl_module
        self.forward_fn = forward_fn

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """Returns the module's output on a batch, which without a ``forward_fn`` is a tensor of inputs."""
        batch = self.trainer.precision_plugin.convert_input(batch)
        with suppress_logging(self.pl_module):
            if self.forward_fn is None:
                return model(batch)
            return self.forward_fn(model, batch)

    def inputs(self, batch: Any) -> Tensor:
        """Returns the tensor of a batch that counts as the input."""
        found: Tensor = getattr(self.forward_fn, "inputs", find_inputs)(batch)
        return found


@contextmanager
def suppress_logging(pl_module: LightningModule) -> Iterator[None]:
    """Replaces the module's ``log`` and ``log_dict`` by functions that do nothing.

    A ``forward`` that logs would otherwise record values of the probe among those of the training batches.
    """
    names = ("log", "log_dict")
    original = {name: pl_module.__dict__[name] for name in names if name in pl_module.__dict__}
    pl_module.__dict__.update(dict.fromkeys(names, _ignore))
    try:
        yield
    finally:
        for name in names:
            del pl_module.__dict__[name]
        pl_module.__dict__.update(original)


@contextmanager
def reraise_with_hint(inputs: Tensor) -> Iterator[None]:
    """Turns an error of a forward pass inside the context into one that explains how to call the model.

    Args:
        inputs: The inputs of that forward pass; the message contains their shape and type.

    Raises:
        MisconfigurationException: In place of the original error, which is its cause.
    """
    try:
        yield
    except (NotImplementedError, TypeError, RuntimeError, LookupError, AttributeError) as error:
        raise MisconfigurationException(
            f"FactorLensCallback calls your LightningModule on a batch of inputs, {tuple(inputs.shape)} of "
            f"{inputs.dtype}: {type(error).__name__}: {error} Define `forward(self, x)`; or pass `forward_fn=`, which "
            "determines how the model is called, e.g. ForwardArgs(['image', 'mask']), "
            "ForwardArgs([0], target='discriminator') or a function (model, batch) → model.predict_step(batch, 0); "
            "or pass `probe=` if the model takes other inputs than those of the validation set, such as a generator's "
            "noise."
        ) from error


def _ignore(*_: Any, **__: Any) -> None:
    """Does nothing."""
