"""Full float32 precision for reported numbers, whatever precision the training uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Switches autocast and reduced-precision products off inside the context, and restores the settings afterwards.

    With TF32 products the relative error would be wrong by 2e-3 to 1e-2.
    """
    has_backend_settings = hasattr(torch.backends.cuda.matmul, "fp32_precision")
    matmul_precision = _backend_precision() if has_backend_settings else _global_precision()
    with matmul_precision, torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


@contextmanager
def _backend_precision() -> Iterator[None]:
    """Changes one setting per backend (torch ≥ 2.9), where reading the older, global setting can raise."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before):
            backend.fp32_precision = precision


@contextmanager
def _global_precision() -> Iterator[None]:
    """Changes the global setting (torch < 2.9)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
