"""Reported numbers need full float32, whatever the user's training runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Switches autocast and reduced-precision products off, and puts back what was set.

    TF32 products would bias the error by 2e-3 to 1e-2.
    """
    undo = _per_backend() if hasattr(torch.backends.cuda.matmul, "fp32_precision") else _global()
    with undo, torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


@contextmanager
def _per_backend() -> Iterator[None]:
    """Torch ≥ 2.9: one setting a backend. Reading the older, global one raises where a user has set these."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [b.fp32_precision for b in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, value in zip(backends, before):
            backend.fp32_precision = value


@contextmanager
def _global() -> Iterator[None]:
    """Torch < 2.9."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
