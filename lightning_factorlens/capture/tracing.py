"""Watching one forward pass: every tensor a module returns or a functional activation makes, under a stable name.

``F.relu`` has no module to hook and torchvision's blocks call one ``nn.ReLU`` several times, so a name belongs to a
call, not to a module: the module's path, ``-2``, ``-3`` … behind it when it is called again; for a functional call
the path of the module whose forward makes it, then ``F.relu``.
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
    """One call seen during a forward pass.

    Attributes:
        name: Stable name.
        op: Type of the module or name of the function.
        module: The module; None for a functional call.
        output: What it returned, if that is one tensor.
    """

    name: str
    op: str
    module: nn.Module | None
    output: Tensor


@contextmanager
def trace_calls(model: nn.Module, on_call: Callable[[TracedCall], None]) -> Iterator[None]:
    """Reports every call of a forward pass to ``on_call`` while the context is open; no hook outlives it.

    Args:
        model: Its modules are watched, by their names in it.
        on_call: Must not keep ``output`` without cloning: the next layer may write into it.
    """
    watch = _Watch(on_call)
    handles = []
    try:
        for name, module in model.named_modules():
            clean = name.replace("_orig_mod.", "").removesuffix("_orig_mod")
            if not isinstance(module, torch.jit.ScriptModule):
                handles.append(module.register_forward_pre_hook(watch.enter(clean, module)))
                handles.append(module.register_forward_hook(watch.leave(clean, module)))
        with _FunctionWatch(watch):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Watch:
    """Counts the calls under each name and knows whose forward is running."""

    def __init__(self, on_call: Callable[[TracedCall], None]) -> None:
        self.on_call = on_call
        self.running: list[tuple[str, nn.Module]] = []
        self.counts: Counter[str] = Counter()

    def enter(self, name: str, module: nn.Module) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            if not self.running:
                self.counts.clear()  # a new forward pass counts anew
            self.running.append((name, module))

        return hook

    def leave(self, name: str, module: nn.Module) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self.running.pop()
            if isinstance(output, Tensor):
                self.report(name, type(module).__name__, module, output)

        return hook

    def functional(self, op: str, output: Tensor) -> None:
        """A function called by a leaf module of torch's own (nn.ReLU calls F.relu) is that module's business."""
        owner, module = self.running[-1] if self.running else ("", None)
        own = module is not None and type(module).__module__.startswith("torch.nn.modules")
        if module is None or not own or next(module.children(), None) is not None:
            self.report(f"{owner}.F.{op}".lstrip("."), op, None, output)

    def report(self, name: str, op: str, module: nn.Module | None, output: Tensor) -> None:
        self.counts[name] += 1
        call = self.counts[name]
        self.on_call(TracedCall(name if call == 1 else f"{name}-{call}", op, module, output))


class _FunctionWatch(TorchFunctionMode):
    """Sees functional activations, which no module hook can."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        op = getattr(func, "__name__", "").rstrip("_")
        if op in ACTIVATION_FUNCTIONS and isinstance(output, Tensor):
            self.watch.functional(op, output)
        return output
