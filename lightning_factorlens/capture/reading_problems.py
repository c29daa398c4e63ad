"""Models whose forward passes are not read while others make them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lightning_factorlens._private_api.compiled_modules import has_compiled_code, is_compiled
from lightning_factorlens._private_api.modules import global_forward_hooks, has_forward_hooks
from lightning_factorlens.capture.passing_rows import PassingRows
from lightning_factorlens.capture.tracing import ACTIVATION_FUNCTIONS
from lightning_factorlens.results import LayerInfo


def reading_problem(model: nn.Module, layers: Iterable[LayerInfo]) -> str:
    """Why hooks could not read a model's passes, or could change what they compute; empty if they can read them.

    Args:
        model: The model.
        layers: The table of layers.

    Example:
        >>> relu = LayerInfo("F.relu", "relu", (4,), 0.0, True, "non-negative activation")
        >>> reading_problem(nn.Linear(3, 4), [relu])
        "'F.relu' is a function, which no hook sees"
    """
    for layer in layers:
        if layer.selected and layer.op in ACTIVATION_FUNCTIONS:
            return f"{layer.name!r} is a function, which no hook sees"
    for name, module in model.named_modules():
        if is_compiled(module):
            return f"{name or 'the model'!r} is compiled"
        if has_forward_hooks(module):
            return f"{name or 'the model'!r} has hooks of its own"
    if has_compiled_code():
        return "torch.compile has compiled code, which would have to be compiled again"
    for hook in global_forward_hooks():
        if not isinstance(getattr(hook, "__self__", None), PassingRows):
            return "there are global hooks of modules"
    return ""
