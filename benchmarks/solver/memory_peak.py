"""How far the resident set grows over a call; run as a module, over `factorize` on stored blocks.

    python -m benchmarks.solver.memory_peak BLOCKS.pt  # prints {"cold": bytes, "warm": bytes}

A process of its own, so that nothing but the fit is counted: the libraries have been through a small fit before, what
they gave back to the allocator is handed to the system, and the kernel's high-water mark is reset, or, where it may
not be, reached by a ballast that is held during the call.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.solver.problems import RANKS, planted
from lightning_factorlens.factorization import factorize
from lightning_factorlens.results import Block

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    """Cold and warm growth of the fit of the blocks in a file."""
    torch.set_num_threads(1)
    stored = torch.load(sys.argv[1], weights_only=True)
    blocks = [Block(f"block{i}", "activation", x, (x.shape[1],)) for i, x in enumerate(stored)]
    small = planted(9_000, 64).blocks  # more rows than two samples: the same path as a large one's
    factorize(small, RANKS, start=factorize(small, RANKS).F)
    cold, cold_bytes = growth(lambda: factorize(blocks, RANKS))
    start = cold.F
    del cold
    _, warm_bytes = growth(lambda: factorize(blocks, RANKS, start=start))
    print(json.dumps({"cold": cold_bytes, "warm": warm_bytes}))


def growth(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, and by how many bytes the resident set at its highest was above that before it.

    Raises:
        OSError: No ``/proc``, so that the resident set cannot be read.
    """
    gc.collect()
    _release()
    ballast = None if _reset() else np.ones(max(0, _bytes("VmHWM") - _bytes("VmRSS")), np.uint8)
    before = _bytes("VmRSS")
    result = call()
    grown = _bytes("VmHWM") - before
    del ballast
    return result, grown


def _bytes(field: str) -> int:
    """Of the resident set: ``VmRSS`` now, ``VmHWM`` at its highest."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def _reset() -> bool:
    """Sets the high-water mark to the present; whether the kernel lets us."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return _bytes("VmHWM") <= _bytes("VmRSS") + 2**20


def _release() -> None:
    """Free memory of the allocator back to the system, where it is glibc's: reused, it would hide growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


if __name__ == "__main__":
    main()
