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
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)
