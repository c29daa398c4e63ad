"""Full float32 precision for reported numbers, whatever precision the training uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Switches autocast and reduced-precision products off inside the context, and restores the settings afterwards.

    With TF32 products the relative error would be wrong by 2e-3 to 1e-2.

    Example:
        >>> with full_precision():
        ...     torch.is_autocast_enabled("cpu")
        False
    """
    with _matmul_precision(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


def _matmul_precision() -> AbstractContextManager[None]:
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        return _backend_precision()
    return _global_precision()


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
