"""Forward passes that are made smaller where memory does not suffice."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe

#: Parts of the messages of errors that torch raises where memory does not suffice.
MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "failed to allocate",
    "bad_alloc",
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN and cuSPARSE
    "RESOURCE_EXHAUSTED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that memory did not suffice, or was raised from such an error.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA error: out of memory")), is_out_of_memory(RuntimeError("shape"))
        (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    if error.__cause__ is not None and is_out_of_memory(error.__cause__):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)


def run_pass(probe: Probe, run: Callable[[Batch, int], None], start: int, max_size: int | None = None) -> int:
    """Runs one forward pass, with half as many samples as often as memory does not suffice.

    Args:
        probe: N samples. It remembers the size of the pass that succeeded.
        run: Receives the samples of the pass and the position of the first of them. It is called again with fewer
            samples from the same position on after it has run out of memory.
        start: Position of the first sample.
        max_size: Largest number of samples in the pass, besides that of the probe.

    Returns:
        The number of samples that passed.

    Raises:
        RuntimeError, MemoryError: Memory does not suffice for one sample, or for a batch that cannot be cut.
    """
    while True:
        part = probe.part(start, max_size)
        n_samples = len(part)
        try:
            run(part, start)
            return n_samples
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not (part.is_cuttable and probe.halve_passes(n_samples)):
                raise
        del part  # outside the handler, whose traceback keeps the failed pass in memory
        gc.collect()
        if probe.device.type == "cuda":
            torch.cuda.empty_cache()
