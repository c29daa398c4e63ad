"""Forward passes of images that end at the last layer that is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lightning_factorlens._private_api.compiled_modules import uncompiled_path
from lightning_factorlens.capture.module_names import named_layers
from lightning_factorlens.capture.output_parts import find_parts
from lightning_factorlens.capture.tracing import TracedCall, trace_calls
from lightning_factorlens.visualization.readings import OUTPUT

if TYPE_CHECKING:
    from typing_extensions import Self


class _AllRead(BaseException):
    """Ends a forward pass behind the last layer that is read; no handler of errors in the model catches it."""


class LayerReader:
    """Reads the outputs of some layers while forward passes run; its hooks replace no output.

    A pass ends at the last of the layers. The layers are named as the lens names them: by the path of a module, with
    ``-2``, ``-3`` … for later calls in the same pass; or a functional activation by the path of the module that calls
    it and ``F.relu``, for which all calls are traced, and passes run to their end.

    Args:
        model: Any module, in evaluation mode.
        forward: Calls the model on the images of a pass and returns its output.
        layers: Names of the layers; `OUTPUT` for the model's output.
        output_part: Path of the part of the model's output that is read; None for the first one.

    Raises:
        ValueError: The model has no module of that name.
    """

    def __init__(
        self, model: nn.Module, forward: Callable[[Tensor], Any], layers: Collection[str], output_part: str | None
    ) -> None:
        self._model = model
        self._forward = forward
        self._layers = set(layers)
        self._output_part = output_part
        self.modules = {uncompiled_path(path).rstrip("."): module for path, module in named_layers(model)}
        for name in self._layers - {OUTPUT}:
            self._check_layer(name)
        self._is_traced = any(_is_function(name) for name in self._layers)
        self._handles: list[RemovableHandle] = []
        self._counts: Counter[str] = Counter()
        self._missing: set[str] = set()
        self._read: Callable[[str, Tensor], None] = _read_nothing
        #: Images that have passed through the model so far.
        self.n_passed = 0

    def __enter__(self) -> Self:
        if not self._is_traced:
            for path in {self.path(name) for name in self._layers - {OUTPUT}}:
                self._handles.append(self.modules[path].register_forward_hook(self._hook(path)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def module(self, name: str) -> nn.Module | None:
        """The module of a layer; None for the model's output and for a function."""
        return self.modules.get(self.path(name))

    def path(self, name: str) -> str:
        """The path of the module whose call has a name: of ``"conv-2"``, ``"conv"``, unless a module has that name."""
        path, _, count = name.rpartition("-")
        return path if count.isdigit() and path and name not in self.modules else name

    def run(self, images: Tensor, read: Callable[[str, Tensor], None]) -> None:
        """One forward pass.

        Args:
            images: Shape (n, C, H, W), as the model receives them.
            read: Receives the name and the output of every layer while the pass runs: a later layer may overwrite the
                output.

        Raises:
            ValueError: A layer was not called, or its output is no tensor with one entry for each image.
        """
        self._read = read
        self._missing = set(self._layers)
        self._counts.clear()
        self.n_passed += len(images)
        try:
            if self._is_traced:
                with trace_calls(self._model, self._on_call):
                    output = self._forward(images)
            else:
                output = self._forward(images)
        except _AllRead:
            return
        finally:
            self._read = _read_nothing
        if OUTPUT in self._missing:
            read(OUTPUT, self._output_tensor(output, len(images)))
            self._missing.discard(OUTPUT)
        if self._missing:
            raise ValueError(
                f"layer: {sorted(self._missing)[0]!r} was not called, or not that often, when images passed through "
                "the model; name a layer whose forward is called."
            )

    def _hook(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self._counts[path] += 1
            count = self._counts[path]
            self._note(path if count == 1 else f"{path}-{count}", output)

        return hook

    def _note(self, name: str, output: Any) -> None:
        """Reads the output of a layer, and ends the pass after the last one."""
        if name not in self._missing:
            return
        tensor = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.ndim < 2:
            raise ValueError(f"layer: the output of {name!r} is no tensor of shape (images, channels, …).")
        self._read(name, tensor)
        self._missing.discard(name)
        if not self._missing and not self._is_traced:
            raise _AllRead

    def _on_call(self, call: TracedCall) -> None:
        self._note(call.name, call.output)

    def _check_layer(self, name: str) -> None:
        if not isinstance(name, str):
            raise ValueError(f"layer: must be the name of a layer, found {name!r:.200}.")
        if _is_function(name):
            return
        module = self.module(name)
        if module is None:
            raise ValueError(
                f"layer: the model has no module {name!r}; give a name of its named_modules(), or of an activation "
                "function such as 'block.F.relu'."
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"layer: {name!r} is a scripted module, whose output cannot be read; visualise the eager model."
            )

    def _output_tensor(self, output: Any, n_images: int) -> Tensor:
        parts = find_parts(output, n_images)
        if self._output_part in parts:
            return parts[self._output_part]
        for tensor in parts.values():
            if tensor.ndim >= 2:
                return tensor
        raise ValueError("Logit: the model's output has no floating-point tensor of shape (images, entries, …).")


def _is_function(name: str) -> bool:
    return ".F." in f".{name}"


def _read_nothing(_name: str, _output: Tensor) -> None:
    """Between two passes."""
