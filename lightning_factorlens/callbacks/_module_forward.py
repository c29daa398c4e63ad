"""Calls the user's module on a batch, and explains a failure of that call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import is_record, move, record_fields
from lightning_factorlens.batches.find_inputs import Inputs, find_inputs
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.callbacks._validation_stage import ForwardContext
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.keyword_forward import LABEL_KEYS, infer_forward_fn
from lightning_factorlens.capture.out_of_memory import is_out_of_memory
from lightning_factorlens.capture.refused_inputs import RefusedInputsError
from lightning_factorlens.capture.sharded_parameters import is_fsdp1


class ModuleForward:
    """Calls the user's module on a batch in the way the Trainer does, but without its logging.

    The object can be pickled, and one object serves a whole run.

    Args:
        trainer: Its precision plugin converts the inputs.
        pl_module: The module whose logging is suppressed.
        forward_fn: Function of the module and a batch that returns the output; None to call the module on the batch.

    Attributes:
        is_inferred: Whether it is known how the module is called on a dictionary.
        model: The module, or the wrapper of FSDP1 around it, which gathers the parameters for a call.
    """

    def __init__(self, trainer: Trainer, pl_module: LightningModule, forward_fn: ForwardFn | None = None) -> None:
        self.trainer = trainer
        self.pl_module = pl_module
        self.forward_fn = forward_fn
        self.is_inferred = forward_fn is not None
        wrapper = trainer.strategy.model
        self.model: nn.Module = wrapper if wrapper is not None and is_fsdp1(wrapper) else pl_module

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """Returns the module's output on a batch, which without a ``forward_fn`` is a tensor of inputs."""
        batch = self.trainer.precision_plugin.convert_input(batch)
        with suppress_logging(self.pl_module):
            if self.forward_fn is None:
                return model(batch)
            return self._call(self.forward_fn, model, batch)

    def _call(self, forward_fn: ForwardFn, model: nn.Module, batch: Any) -> Any:
        """Calls a function of the module and a batch while FSDP1, if it is there, has gathered the parameters."""
        if model is self.pl_module:
            return forward_fn(model, batch)
        attributes = vars(self.pl_module)
        original = attributes.get("forward")

        def restore() -> None:
            attributes.pop("forward", None)
            if original is not None:
                attributes["forward"] = original

        def forward() -> Any:
            restore()  # the function may call the module's own one
            return forward_fn(self.pl_module, batch)

        attributes["forward"] = forward
        try:
            return model()
        finally:
            restore()

    def infer(self, trial: Any, verbose: bool = True) -> None:
        """Finds out how the module is called on a batch that is a dictionary; see `infer_forward_fn`.

        Args:
            trial: A few samples, on any device.
            verbose: Whether to say how the module is called.
        """
        device = self.pl_module.device
        samples = self.trainer.precision_plugin.convert_input(tree_map(lambda part: move(part, device), trial))
        with suppress_logging(self.pl_module):
            call = infer_forward_fn(self.model, samples, ForwardContext(self.trainer), self._try_call)
        self.forward_fn = call
        self.is_inferred = True
        if call is not None and verbose:
            labels = [key for key in call.keys if key in LABEL_KEYS]
            note = f" It needs {', '.join(labels)}; the lens does not read them." if labels else ""
            rank_zero_info(f"FactorLens calls the module as {call.text}.{note}")

    def _try_call(self, forward_fn: ForwardFn, batch: Any) -> None:
        """Calls the module by a function that may not fit, with the model left as found by the caller."""
        self._call(forward_fn, self.model, batch)

    def inputs(self, batch: Any) -> Inputs:
        """Returns the tensor of a batch that counts as the input."""
        found: Inputs = getattr(self.forward_fn, "inputs", find_inputs)(batch)
        return found


@contextmanager
def suppress_logging(pl_module: LightningModule) -> Iterator[None]:
    """Replaces the module's ``log`` and ``log_dict`` by functions that do nothing, and the loggers by idle ones.

    A ``forward`` that logs would otherwise record values of the probe among those of the training batches.
    """
    trainer = pl_module.trainer
    loggers = trainer.loggers
    names = ("log", "log_dict")
    original = {name: pl_module.__dict__[name] for name in names if name in pl_module.__dict__}
    pl_module.__dict__.update(dict.fromkeys(names, _ignore))
    trainer.loggers = [DummyLogger() for _ in loggers]
    try:
        yield
    finally:
        trainer.loggers = loggers
        for name in names:
            del pl_module.__dict__[name]
        pl_module.__dict__.update(original)


@contextmanager
def reraise_with_hint(probe: Probe, forward_fn: ForwardFn | None = None) -> Iterator[None]:
    """Turns an error of a forward pass inside the context into one that explains how to call the model.

    Args:
        probe: The samples of that forward pass; the message describes its first batch.
        forward_fn: The user's function, if the model is called by one.

    Raises:
        MisconfigurationException: In place of the original error, which is its cause. An error that is no fault of the
            call is raised as it is: exhausted memory, and a wrong argument of the lens.
    """
    try:
        yield
    except Exception as raised:
        error = raised.__cause__ if isinstance(raised, RefusedInputsError) else raised
        assert isinstance(error, Exception)
        is_about_call = _comes_from_forward(error) and not isinstance(error, OSError)
        if not is_about_call or is_out_of_memory(error):
            raise
        batch = probe.whole[0]
        cause = as_sentence(f"{type(error).__name__}: {error}")
        if forward_fn is not None:
            raise MisconfigurationException(
                f"forward_fn: the call on the model and a batch failed: {cause} The batch is {_describe(batch.data)}, "
                "as the data loader collates it, labels included: let the function pick the parts that the model takes."
            ) from error
        described = _describe(batch.data)
        if isinstance(batch.data, Tensor):
            described = f"{tuple(batch.data.shape)} of {batch.data.dtype}"
        raise MisconfigurationException(
            f"FactorLensCallback calls your LightningModule on a batch of inputs, {described}: {cause} {_advice(batch)}"
            "Define `forward(self, x)`; or pass `forward_fn=`, which determines how the "
            "model is called, e.g. ForwardArgs(['image', 'mask']), ForwardArgs([0], target='discriminator') or a "
            "function (model, batch) → model.predict_step(batch, 0); or pass `probe=` if the model takes other inputs "
            "than those of the validation set, such as a generator's noise."
        ) from error


def _comes_from_forward(error: Exception) -> bool:
    """Whether an error was raised while the model was called."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is ModuleForward.__call__.__code__:
            return True
        traceback = traceback.tb_next
    return False


def _advice(batch: Batch) -> str:
    """What to pass for a batch that is one sample without a batch axis; empty for any other."""
    if not batch.is_single:
        return ""
    return (
        "It is one sample without a batch axis, as the collate function returns it; if the model needs that axis, add "
        "it: forward_fn=lambda model, batch: model(batch[0][None]). "
    )


def as_sentence(text: str) -> str:
    """A text with a full stop, so that another sentence can follow; errors of torch often have none."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _describe(data: Any) -> str:
    """The structure of a batch in a few words, such as ``[Tensor (4, 1, 8, 8), Tensor (4,)]``."""
    if isinstance(data, Tensor):
        return f"Tensor {tuple(data.shape)}"
    if is_record(data):
        fields = ", ".join(f"{name}={_describe(part)}" for name, part in record_fields(data).items())
        return f"{type(data).__name__}({fields})"
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{key!r}: {_describe(part)}" for key, part in data.items()) + "}"
    if isinstance(data, (list, tuple)) and any(isinstance(part, (Tensor, Mapping, list, tuple)) for part in data):
        return "[" + ", ".join(map(_describe, data)) + "]"
    return type(data).__name__


def _ignore(*_: Any, **__: Any) -> None:
    """Does nothing."""
