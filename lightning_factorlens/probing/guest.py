"""Being a guest in somebody's model: whatever the probe touches is put back, also when it fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in eval mode without gradients and runs eagerly; outside, nothing has happened.

    Put back: every module's own training flag (one flag on the root would thaw frozen batch norms), every buffer
    that was written, and all random states.

    Args:
        model: Any module, compiled or not.
    """
    flags = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer._version, buffer.detach().clone()) for buffer in _real(model.buffers())]
    with ExitStack() as stack:
        stack.enter_context(preserved_random_states(model))
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
            for buffer, version, value in buffers:
                if buffer._version != version:
                    buffer.copy_(value)


def _real(tensors: Iterator[Tensor]) -> Iterator[Tensor]:
    """Without those on the meta device or not yet initialised, which hold no values."""
    return (t for t in tensors if not t.is_meta and not nn.parameter.is_lazy(t))


@contextmanager
def preserved_random_states(model: nn.Module | None = None) -> Iterator[None]:
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
