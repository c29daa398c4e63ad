"""Growth of the resident set during a call; run as a module, during `factorize` on stored blocks.

    python -m benchmarks.solver.memory_peak BLOCKS.pt  # prints {"cold": bytes, "warm": bytes}

It runs in a process of its own, so that nothing but the fit is counted: a small fit before loads the libraries, memory
that they freed is returned to the system, and the kernel's record of the largest resident set is reset. Where it cannot
be reset, an array that is held during the call fills the memory up to that record.
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
    """Prints the growth during a cold and a warm fit of the blocks in a file."""
    torch.set_num_threads(1)
    stored = torch.load(sys.argv[1], weights_only=True)
    blocks = [Block(f"block{i}", "activation", x, (x.shape[1],)) for i, x in enumerate(stored)]
    small = planted(9_000, 64).blocks  # enough rows for the code path of a large problem
    factorize(small, RANKS, start=factorize(small, RANKS).F)
    cold, cold_bytes = growth(lambda: factorize(blocks, RANKS))
    start = cold.F
    del cold
    _, warm_bytes = growth(lambda: factorize(blocks, RANKS, start=start))
    print(json.dumps({"cold": cold_bytes, "warm": warm_bytes}))


def growth(call: Callable[[], Any]) -> tuple[Any, int]:
    """The result of a call, and the bytes by which the resident set grew at most during it.

    Raises:
        OSError: There is no ``/proc``, so that the resident set cannot be read.
    """
    gc.collect()
    _release()
    filling = None if _reset() else np.ones(max(0, _bytes("VmHWM") - _bytes("VmRSS")), np.uint8)
    before = _bytes("VmRSS")
    result = call()
    grown = _bytes("VmHWM") - before
    del filling
    return result, grown


def _bytes(field: str) -> int:
    """Bytes of the resident set: ``VmRSS`` at present, ``VmHWM`` at its largest."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def _reset() -> bool:
    """Resets the record of the largest resident set; returns whether the kernel allows it."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return _bytes("VmHWM") <= _bytes("VmRSS") + 2**20


def _release() -> None:
    """Returns free memory of glibc's allocator to the system; if it were reused, it would hide growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


if __name__ == "__main__":
    main()
