"""Running a model without side effects: everything that a measurement changes is restored, also when it raises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_factorlens._private_api import registered_buffers


@contextmanager
def isolate_model(model: nn.Module, *, gradients: bool = False) -> Iterator[None]:
    """Inside, the model is in eval mode and runs eagerly; afterwards it is in the state in which it was found.

    The context restores each module's own training flag (one flag for all would change frozen batch norms), every
    buffer that was written, replaced or resized, all random states, and with ``gradients=True`` every parameter's
    ``.grad`` and ``requires_grad``. It does not undo a forward pass that writes into parameters, or into attributes
    that are no buffers, nor one that registers new buffers.

    Args:
        model: Any module, compiled or not.
        gradients: With False, autograd is disabled inside. With True it is enabled, also within ``torch.no_grad()`` or
            ``torch.inference_mode()``, and ``.grad`` of every parameter is None inside, so that a measurement that
            calls ``backward()`` cannot change the gradients of the training. ``torch.autograd.grad`` is still
            preferable: it does not run hooks that step an optimizer during ``backward()``. cuDNN computes no gradients
            of recurrent layers in eval mode; disable it with ``torch.backends.cudnn.flags(enabled=False)``.

    Yields:
        Nothing.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(3, 2).train()
        >>> with isolate_model(model):
        ...     model.training, torch.is_grad_enabled()
        (False, False)
        >>> with torch.no_grad(), isolate_model(model, gradients=True):
        ...     model(torch.rand(4, 3)).sum().backward()
        ...     tuple(model.weight.grad.shape)
        (2, 3)
        >>> model.training, model.weight.grad is None
        (True, True)
    """
    flags = [(module, module.training) for module in model.modules()]
    with ExitStack() as stack:
        stack.enter_context(isolate_rng(model))
        if gradients:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(_isolate_gradients(model))
        else:
            stack.enter_context(torch.no_grad())
        # A hook on a compiled module is ignored or causes a recompile; in an eager run it is called.
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_isolate_buffers(model, gradients))
        try:
            # Each flag is set by itself, because a module may override `train` or `eval` with side effects.
            for module, _ in flags:
                module.training = False
            yield
        finally:
            for module, flag in flags:
                module.training = flag


@contextmanager
def _isolate_buffers(model: nn.Module, gradients: bool) -> Iterator[None]:
    """Restores every registered buffer, the object and its values.

    With gradients, buffers that were made in inference mode are replaced by copies, since autograd cannot save them.
    """
    saved: list[tuple[nn.Module, str, Tensor, Tensor]] = []
    empty: list[tuple[nn.Module, str]] = []
    for module in model.modules():
        for name, buffer in registered_buffers(module).items():
            if buffer is None:
                empty.append((module, name))
            elif not buffer.is_meta and not nn.parameter.is_lazy(buffer):
                value = buffer.detach().clone()
                saved.append((module, name, buffer, value))
    for module, name, buffer, value in saved:
        if gradients and buffer.is_inference():
            registered_buffers(module)[name] = value.clone()
    try:
        yield
    finally:
        for module, name in empty:
            registered_buffers(module)[name] = None
        with torch.no_grad():
            for module, name, buffer, value in saved:
                registered_buffers(module)[name] = buffer  # the same object: other objects may refer to it
                if buffer.shape != value.shape:
                    buffer.data = value
                elif not torch.equal(buffer, value):  # by value: `.data` writes without changing the version counter
                    buffer.copy_(value)


@contextmanager
def _isolate_gradients(model: nn.Module) -> Iterator[None]:
    """Sets every parameter's ``.grad`` aside, and restores it and ``requires_grad``."""
    saved = [(parameter, parameter.grad, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _, _ in saved:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient, requires_grad in saved:
            parameter.grad = gradient
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)


@contextmanager
def isolate_rng(model: nn.Module | None = None) -> Iterator[None]:
    """Restores the random states of torch (CPU and the model's devices), numpy and Python.

    Args:
        model: The model whose devices count; None for the CPU alone.

    Yields:
        Nothing.

    Example:
        >>> import torch
        >>> before = torch.get_rng_state()
        >>> with isolate_rng():
        ...     _ = torch.rand(3)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    found: set[torch.device] = set()
    if model is not None:
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.device.type not in ("cpu", "meta"):
                found.add(tensor.device)
    devices = sorted(found, key=str)
    device_type = devices[0].type if devices else "cuda"
    indices = [device.index or 0 for device in devices]
    numpy_state: Any = np.random.get_state()
    python_state = random.getstate()
    try:
        with torch.random.fork_rng(devices=indices, device_type=device_type):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
