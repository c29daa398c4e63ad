"""Tracing of a forward pass: every tensor that a module returns or an activation function computes, by a stable name.

``F.relu`` has no module to hook and torchvision's blocks call one ``nn.ReLU`` several times, so a name belongs to a
call, not to a module. The first call of a module has the module's path as its name, later calls have ``-2``, ``-3`` …
appended; the name of a functional call is the path of the module whose ``forward`` makes it, followed by ``F.relu``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lightning_factorlens._private_api.compiled_modules import uncompiled_path
from lightning_factorlens.capture.module_names import layer_class, named_layers

#: Functions that end a layer the way an activation module does.
ACTIVATION_FUNCTIONS = frozenset(
    [
        "relu",
        "relu6",
        "sigmoid",
        "softplus",
        "softmax",
        "hardsigmoid",
        "hardtanh",
        "threshold",
        "clamp",
        "clamp_min",
        "gelu",
        "silu",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "prelu",
        "rrelu",
        "tanh",
        "hardswish",
        "mish",
        "softsign",
        "logsigmoid",
    ]
)


@dataclass(frozen=True)
class TracedCall:
    """One call during a forward pass.

    Attributes:
        name: Stable name, see the module's docstring.
        op: Class name of the module, or name of the function.
        module: The module; None for a functional call.
        output: The tensor that it returned. Calls that return anything else are not reported.
    """

    name: str
    op: str
    module: nn.Module | None
    output: Tensor


OnCall = Callable[[TracedCall], Tensor | None]


@contextmanager
def trace_calls(model: nn.Module, on_call: OnCall, *, replace_outputs: bool = False) -> Iterator[None]:
    """Reports every call of a forward pass to ``on_call`` while the context is open; no hook outlives it.

    Args:
        model: The model that is called inside. The names of the calls are relative to it.
        on_call: Receives every call. It must copy ``output`` to keep it: the next layer may overwrite it in place.
        replace_outputs: With True, a tensor that ``on_call`` returns takes the place of ``output`` in the rest of the
            forward pass. In-place activation functions then compute on a copy of the tensor that they overwrite, since
            autograd refuses a second change of a tensor that it has saved. With False the forward pass is unchanged.

    Yields:
        Nothing.

    Raises:
        Exception: The first failure of ``on_call``, after the forward pass.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        >>> names = []
        >>> with trace_calls(model, lambda call: names.append(call.name)):
        ...     _ = model(torch.rand(2, 3))
        >>> names
        ['0', '1', '']
    """
    tracer = _CallTracer(on_call, replace_outputs)
    handles = []
    try:
        for path, module in named_layers(model):
            name = uncompiled_path(path)
            if not isinstance(module, torch.jit.ScriptModule):
                handles.append(module.register_forward_pre_hook(tracer.pre_hook(name, module)))
                handles.append(module.register_forward_hook(tracer.post_hook(name, module)))
        with _FunctionTracer(tracer):
            yield
        if tracer.failure is not None:
            raise tracer.failure
    finally:
        for handle in handles:
            handle.remove()


class _CallTracer:
    """Counts the calls under each name and keeps the stack of the modules whose forward is running."""

    def __init__(self, on_call: OnCall, replace_outputs: bool) -> None:
        self.on_call = on_call
        self.replace_outputs = replace_outputs
        self.running: list[tuple[str, nn.Module]] = []
        self.counts: Counter[str] = Counter()
        self.overwritten: Tensor | None = None  # by the in-place function that the running module called last
        self.failure: Exception | None = None

    def pre_hook(self, name: str, module: nn.Module) -> Callable[..., None]:
        """The hook that runs before a module's forward."""

        def hook(*_: Any) -> None:
            """Notes that the module runs."""
            if not self.running:
                self.counts.clear()  # a new forward pass starts to count at 1
            self.running.append((name, module))
            self.overwritten = None

        return hook

    def post_hook(self, name: str, module: nn.Module) -> Callable[..., Tensor | None]:
        """The hook that runs after a module's forward."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> Tensor | None:
            """Reports the output, and returns what replaces it."""
            self.running.pop()
            in_place = output is self.overwritten and _is_torch_leaf(module)
            self.overwritten = None
            if not isinstance(output, Tensor):
                return None
            replacement = self.report(name, layer_class(module).__name__, module, output)
            if replacement is not None and in_place:
                output.copy_(replacement)  # other references to the overwritten tensor must follow
                return None
            return replacement

        return hook

    def report_function(self, op: str, output: Tensor, in_place: bool) -> Tensor:
        """Reports a functional call, except by a leaf module of torch: ``nn.ReLU`` calls ``F.relu`` itself.

        Returns:
            The output, or what replaces it.
        """
        owner = ""
        if self.running:
            owner, module = self.running[-1]
            if _is_torch_leaf(module):
                self.overwritten = output if in_place else None
                return output
        replacement = self.report(f"{owner}.F.{op}".lstrip("."), op, None, output)
        if replacement is None:
            return output
        if in_place:
            return output.copy_(replacement)
        return replacement

    def report(self, name: str, op: str, module: nn.Module | None, output: Tensor) -> Tensor | None:
        """Numbers the call and reports it; returns the replacement of its output, if there is one."""
        self.counts[name] += 1
        count = self.counts[name]
        if count > 1:
            name = f"{name}-{count}"
        replacement = self._call_back(TracedCall(name, op, module, output))
        if self.replace_outputs:
            return replacement
        return None

    def _call_back(self, call: TracedCall) -> Tensor | None:
        """Reports a call, unless an earlier one has failed.

        A failure is raised after the forward pass: where a model is sharded, the other processes would otherwise wait
        for parameters that this one no longer gathers.
        """
        if self.failure is not None:
            return None
        try:
            return self.on_call(call)
        except Exception as error:
            self.failure = error
            return None


def _is_torch_leaf(module: nn.Module) -> bool:
    return layer_class(module).__module__.startswith("torch.nn.modules") and next(module.children(), None) is None


class _FunctionTracer(TorchFunctionMode):
    """Reports functional activations, for which no module hook is called."""

    def __init__(self, tracer: _CallTracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        name = getattr(func, "__name__", "")
        op = name.rstrip("_")
        in_place = self.tracer.replace_outputs and (name.endswith("_") or options.get("inplace", False))
        if op in ACTIVATION_FUNCTIONS and in_place and args:
            target = args[0]
            output = target.copy_(func(target.clone(), *args[1:], **options))
        else:
            output = func(*args, **options)
        if op in ACTIVATION_FUNCTIONS and isinstance(output, Tensor):
            return self.tracer.report_function(op, output, in_place)
        return output
