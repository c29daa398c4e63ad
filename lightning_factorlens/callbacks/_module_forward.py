"""How a batch reaches the model, and what is said when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from lightning_factorlens.capture.batch import ForwardFn, find_inputs


class ModuleForward:
    """Calls the user's module on a batch the way the Trainer would, without its logging.

    Picklable; one object serves a whole run.
    """

    def __init__(self, trainer: Trainer, pl_module: LightningModule, call: ForwardFn | None = None) -> None:
        self.trainer, self.pl_module, self.call = trainer, pl_module, call

    def __call__(self, batch: Any) -> Any:
        """The module's output on a batch: on a bare tensor of inputs, unless a call says otherwise."""
        batch = self.trainer.precision_plugin.convert_input(batch)
        with suppress_logging(self.pl_module):
            return self.pl_module(batch) if self.call is None else self.call(self.pl_module, batch)

    def inputs(self, batch: Any) -> Tensor:
        """The tensor of a batch that counts as the input."""
        found: Tensor = getattr(self.call, "inputs", find_inputs)(batch)
        return found


@contextmanager
def suppress_logging(pl_module: LightningModule) -> Iterator[None]:
    """`self.log` in the user's `forward` must not see our batch: inside, it does nothing."""
    names = ("log", "log_dict")
    own = {name: pl_module.__dict__[name] for name in names if name in pl_module.__dict__}
    pl_module.__dict__.update(dict.fromkeys(names, _nothing))
    try:
        yield
    finally:
        for name in names:
            del pl_module.__dict__[name]
        pl_module.__dict__.update(own)


@contextmanager
def reraise_with_hint(inputs: Tensor) -> Iterator[None]:
    """Inside, a model that cannot be called on a batch of such inputs is an error that says what to do about it.

    Raises:
        MisconfigurationException: In place of what calling it raised.
    """
    try:
        yield
    except (NotImplementedError, TypeError, RuntimeError, LookupError, AttributeError) as error:
        raise MisconfigurationException(
            f"FactorLensCallback calls your LightningModule on a batch of inputs, {tuple(inputs.shape)} of "
            f"{inputs.dtype}: {type(error).__name__}: {error} Define `forward(self, x)`; or pass `call=`, which says "
            "how the model is called, e.g. CallWith(['image', 'mask']), CallWith([0], target='discriminator') or a "
            "function (model, batch) → model.predict_step(batch, 0); or pass `probe=`, where it takes other inputs "
            "than the validation set's, such as a generator's noise."
        ) from error


def _nothing(*_: Any, **__: Any) -> None:
    """Stands in for `log`."""
