"""Reads the activations of a probe's samples out of forward passes that are made anyway, such as a validation's.

The hooks are torch's global ones, so that no module holds them: a module that is copied or pickled meanwhile is the
user's own. They only read; no hook returns anything, and none raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from lightning_factorlens._private_api.modules import remove_global_hooks
from lightning_factorlens._private_api.tensors import has_dispatch_mode, without_function_modes
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.capture.activations import Capture, find_class_scores
from lightning_factorlens.capture.layer_buffers import ScatteredBuffer, make_blocks, make_buffers
from lightning_factorlens.capture.matching_rows import MatchingRows
from lightning_factorlens.capture.model_fingerprint import model_fingerprint
from lightning_factorlens.capture.module_names import named_layers
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.results import LayerInfo


class PassingRows:
    """Collects what forward passes compute for the samples of a probe.

    Args:
        model: The model.
        inputs: The inputs of the probe as the model receives them, shape (N, …), on the model's device.
        layers: The table of layers.
        max_neurons: See `draw_features`.
        seed: See `draw_features`.
        decision: Which part of the output is read.
        entries: Modules whose call on the inputs gives the model's output, the model itself included.
        timer: Makes the context of everything that is done.

    Attributes:
        sizes: Number of samples in the batches that held samples of the probe.
        called: Names of the modules that ran for these batches.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        layers: Iterable[LayerInfo],
        max_neurons: int | None,
        seed: int,
        decision: OutputDecision,
        entries: Iterable[nn.Module] = (),
        timer: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        n_samples = len(inputs)
        self.sizes: set[int] = set()
        self.called: set[str] = set()
        self.decision = decision
        self._model = model
        self._timer = timer
        self._matching = MatchingRows(inputs)
        self._entries = {id(module) for module in [model, *entries]}
        self._buffers = make_buffers(ScatteredBuffer, layers, max_neurons, seed, n_samples)
        self._names = {id(module): name for name, module in named_layers(model)}
        self._outputs: Tensor | None = None
        self._n_scored = 0
        self._seen = torch.zeros(n_samples, dtype=torch.bool, device="cpu")
        self._problem = ""
        self._states: list[Hashable] = []  # of the model at the first and at the last sample
        self._handles: list[Any] = []
        self._forget_call()

    def _forget_call(self) -> None:
        """No call is followed any more."""
        self._entry: nn.Module | None = None
        self._batch: Batch | None = None
        self._rows: tuple[Tensor, Tensor] | None = None
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begins to read; `stop` must be called."""
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, with_kwargs=True, always_call=True),
        ]

    def stop(self) -> None:
        """Removes the hooks."""
        remove_global_hooks(self._handles)
        self._handles = []
        self._forget_call()

    # ---- hooks

    def _before(self, module: nn.Module, args: Any) -> None:
        if not _is_recorded() and self._entry is None and id(module) in self._entries and not self._problem:
            self._guard(self._begin, module, args)

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not _is_recorded() and self._entry is not None:
            self._guard(self._read, module, kwargs, output)

    def _guard(self, work: Callable[..., None], *args: Any) -> None:
        """Does some work outside autograd; an error makes the collection useless and is not raised."""
        try:
            with self._timer(), without_function_modes(), torch.inference_mode(False), torch.no_grad():
                work(*args)
        except Exception as error:
            self._problem = f"reading failed with {type(error).__name__}: {error}"
            self._forget_call()

    def _begin(self, module: nn.Module, args: Any) -> None:
        """Looks for samples of the probe in a call of the model."""
        inputs = args[0] if len(args) == 1 else None
        if not isinstance(inputs, Tensor) or inputs.ndim == 0:
            return
        rows, positions = self._matching.find(inputs)
        if not len(rows):
            return
        if any(inner.training for inner in self._model.modules()):
            self._problem = "a module was in training mode"
            return
        if not self._states:
            self._states.append(self._state())
        self._entry = module
        self._batch = Batch(inputs, inputs)
        self._rows = (rows, positions)

    def _read(self, module: nn.Module, kwargs: Any, output: Any) -> None:
        """Reads the output of a module, and ends with that of the call that is followed."""
        assert self._batch is not None and self._rows is not None
        name = self._names.get(id(module))
        if name is not None:
            self.called.add(name)
        if name is not None and isinstance(output, Tensor):
            self._counts[name] += 1
            count = self._counts[name]
            buffer = self._buffers.get(name if count == 1 else f"{name}-{count}")
            if buffer is not None:
                buffer.fill_rows(output, self._batch, *self._rows)
        if module is self._entry:
            self._end(kwargs, output)

    def _end(self, kwargs: Any, output: Any) -> None:
        """Keeps the class scores of a call that has ended."""
        assert self._batch is not None and self._rows is not None
        n_samples = len(self._batch)
        rows, positions = self._rows
        self._forget_call()
        if kwargs or output is None:
            self._problem = "the model was called with keywords, or failed"
            return
        scores = find_class_scores(output, n_samples, self.decision)
        was_complete = bool(self._seen.all())
        found = positions.cpu()
        if scores is not None:
            if self._outputs is None:
                self._outputs = scores.new_empty(len(self._seen), scores.shape[1])
            self._outputs[positions] = scores.detach()[rows]
            self._n_scored += int((~self._seen[found]).sum())
        self._seen[found] = True
        self.sizes.add(n_samples)
        if not was_complete and bool(self._seen.all()):
            self._states.append(self._state())

    def _state(self) -> Hashable:
        """What the numbers depend on besides the samples."""
        return model_fingerprint(self._model), _autocast(self._seen_device())

    def _seen_device(self) -> str:
        return next((tensor.device.type for tensor in self._model.parameters()), "cpu")

    # ---- afterwards

    def problem(self, decision: OutputDecision) -> str:
        """Why the numbers cannot stand for those of a pass of the model as it is now; empty if they can.

        Args:
            decision: Which part of the output is to be read.
        """
        if self._problem:
            return self._problem
        n_missing = int((~self._seen).sum())
        if n_missing:
            return f"{n_missing} samples of the probe did not pass"
        if decision != self.decision:
            return "another part of the output is read now"
        if {*self._states, self._state()} != {self._states[0]}:
            return "the weights, or the precision, have changed since"
        return ""

    def capture(self, layers: Iterable[LayerInfo]) -> Capture:
        """What a pass of the probe would have captured.

        Args:
            layers: Layers, all of which were in the table.

        Raises:
            RuntimeError: A layer did not run for every sample.
        """
        names = [layer.name for layer in layers if layer.selected]
        blocks = make_blocks({name: self._buffers[name] for name in names})
        return Capture(blocks, self._outputs if self._n_scored == len(self._seen) else None)


def _is_recorded() -> bool:
    """Whether operations are recorded or counted, instead of only being done: none of the lens's own must be."""
    is_captured = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    return torch.jit.is_tracing() or torch.compiler.is_compiling() or is_captured or has_dispatch_mode()


def _autocast(device: str) -> Hashable:
    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
