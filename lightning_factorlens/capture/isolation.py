"""Being a guest in somebody's model: whatever the probe touches is put back, also when it fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def isolate_model(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in eval mode without gradients and runs eagerly; outside, nothing has happened.

    Put back: every module's own training flag (one flag on the root would thaw frozen batch norms), every buffer
    that was written or replaced, and all random states. A forward pass that writes into parameters, or into
    attributes that are no buffers, is beyond a guest's reach.

    Args:
        model: Any module, compiled or not.
    """
    flags = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and not buffer.is_meta and not nn.parameter.is_lazy(buffer)
    ]
    with ExitStack() as stack:
        stack.enter_context(isolate_rng(model))
        stack.enter_context(torch.no_grad())
        # A hook on a compiled module costs a recompile or is ignored; run eagerly, it fires.
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            # Flags are set one by one: a module may override `train` or `eval` with side effects.
            for module, _ in flags:
                module.training = False
            yield
        finally:
            for module, flag in flags:
                module.training = flag
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer  # the same object: others may hold it
                if not torch.equal(buffer, value):  # by value: `.data` writes past the version counter
                    buffer.copy_(value)


@contextmanager
def isolate_rng(model: nn.Module | None = None) -> Iterator[None]:
    """Restores the random states of torch (CPU and the model's devices), numpy and Python.

    Args:
        model: Whose devices count; None for the CPU alone.
    """
    tensors: list[Any] = [] if model is None else [*model.parameters(), *model.buffers()]
    devices = sorted({t.device for t in tensors if t.device.type not in ("cpu", "meta")}, key=str)
    numpy_state, python_state = np.random.get_state(), random.getstate()
    kind = devices[0].type if devices else "cuda"
    try:
        with torch.random.fork_rng(devices=[d.index or 0 for d in devices], device_type=kind):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
