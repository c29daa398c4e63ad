"""Bytes that torch's allocator has given out on the CPU: exact, whatever the system keeps in reserve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(function: Callable[[], Any]) -> tuple[int, int]:
    """Calls a function and counts the bytes of all tensors, temporary ones in kernels included.

    Arrays of numpy and the private memory of numerical libraries are not seen.

    Args:
        function: Is called once.

    Returns:
        The largest number of bytes allocated at once during the call, above those before it; and the bytes that are
        still allocated when it has returned, above those before it.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = function()
    changes = []
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            changes.append((event.start_ns(), event.nbytes()))
    changes.sort(key=lambda change: change[0])
    n_bytes = 0
    peak = 0
    for _, change in changes:
        n_bytes += change
        peak = max(peak, n_bytes)
    del result
    return peak, n_bytes


def mebibytes(n_bytes: float) -> str:
    """A number of bytes in MiB, for tables."""
    return f"{n_bytes / 2**20:,.1f}"


def parameter_bytes(model: torch.nn.Module) -> int:
    """Bytes of the parameters of a model."""
    return sum(parameter.nbytes for parameter in model.parameters())
