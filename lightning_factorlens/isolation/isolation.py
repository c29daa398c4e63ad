"""Running a model without side effects: everything that a measurement changes is restored, also when it raises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import nn

from lightning_factorlens._private_api.modules import registered_buffers
from lightning_factorlens.isolation.python_state import PythonState
from lightning_factorlens.isolation.sharded_units import note_again, reshard, used_elsewhere

#: Models that are isolated at this moment.
_isolated: WeakSet[nn.Module] = WeakSet()


@contextmanager
def isolate_model(model: nn.Module, *, gradients: bool = False) -> Iterator[None]:
    """Inside, the model is in eval mode and runs eagerly; afterwards it is in the state in which it was found.

    The context restores, bit for bit and in place: each module's own training flag (one flag for all would change
    frozen batch norms), parameters and buffers of every layout, the registries of parameters, buffers, submodules and
    hooks, every other attribute of the modules and what can be reached through them (tensors, containers, numpy
    arrays, generators, metrics, objects of the user's classes), all random states, and every parameter's ``.grad`` and
    ``requires_grad``. See `python_state` for what cannot be restored.

    Parameters are copied once, also if isolations of one model are nested; on an accelerator, large copies are kept in
    the main memory unless training steps before have needed and released enough of its own (`has_room`). Only what has
    changed is written.

    Where a class overrides ``train`` or ``eval``, evaluation mode is entered by ``model.eval()``, as Lightning does
    before it validates: such a module may merge or fold its weights. Otherwise the flags are set.

    Args:
        model: Any module, compiled or not.
        gradients: With False, autograd is disabled inside. With True it is enabled, also within ``torch.no_grad()`` or
            ``torch.inference_mode()``. In both cases ``.grad`` of every parameter is None inside, so that a
            ``backward()`` cannot change the gradients of the training. ``torch.autograd.grad`` is still
            preferable: it does not run hooks that step an optimizer during ``backward()``. cuDNN computes no gradients
            of recurrent layers in eval mode; disable it with ``torch.backends.cudnn.flags(enabled=False)``.

    Yields:
        Nothing.

    Raises:
        Exception: The first error of a restoration, after everything else was restored.

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
    with ExitStack() as stack:
        stack.enter_context(isolate_rng(model))
        if gradients:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
        else:
            stack.enter_context(torch.no_grad())
        stack.enter_context(_isolate_gradients(model))
        # A hook on a compiled module is ignored or causes a recompile; in an eager run it is called.
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_isolate_state(model))
        if gradients:
            _replace_inference_buffers(model)
        _enter_eval_mode(model)
        yield


@contextmanager
def _isolate_state(model: nn.Module) -> Iterator[None]:
    """Restores everything that can be reached from the model, parameters in the outermost isolation only."""
    is_nested = model in _isolated
    if not is_nested:
        reshard(model)
    state = PythonState(model, parameters=not is_nested)
    _isolated.add(model)
    try:
        yield
    finally:
        if not is_nested:
            _isolated.discard(model)
        notes = used_elsewhere(model)
        try:
            if not is_nested:
                reshard(model)
        finally:
            state.restore()
            note_again(notes)


def _enter_eval_mode(model: nn.Module) -> None:
    for module in model.modules():
        is_overridden = type(module).train is not nn.Module.train or type(module).eval is not nn.Module.eval
        if is_overridden or "train" in vars(module) or "eval" in vars(module):
            model.eval()
            return
    for module in model.modules():
        module.training = False


def _replace_inference_buffers(model: nn.Module) -> None:
    """Replaces buffers that were made in inference mode by copies, since autograd cannot save them."""
    for module in model.modules():
        buffers = registered_buffers(module)
        for name, buffer in buffers.items():
            if buffer is not None and buffer.is_inference():
                buffers[name] = buffer.clone()


@contextmanager
def _isolate_gradients(model: nn.Module) -> Iterator[None]:
    """Sets every parameter's ``.grad`` aside, and restores it and ``requires_grad``."""
    saved = [(parameter, parameter.grad, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, gradient, _ in saved:
        if gradient is not None:
            parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient, requires_grad in saved:
            if parameter.grad is not gradient:
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
