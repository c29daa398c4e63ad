"""How many of the processor's threads a piece of work is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: Numbers that one thread works on before a second one pays.
PER_THREAD = 16_000_000


@contextmanager
def limit_threads(numbers: int) -> Iterator[None]:
    """Inside, torch uses a thread for every 16 million numbers; outside, as many as before.

    A fit is thousands of small products, and threads wait for each other after every one. Where another program has a
    core, each of these waits lasts until that program is preempted, and two threads take a hundred times as long as
    one. Never more threads than before.

    Args:
        numbers: That the work goes through at a time.
    """
    before = torch.get_num_threads()
    few = min(before, max(1, round(numbers / PER_THREAD)))
    if few == before:
        yield
        return
    torch.set_num_threads(few)
    try:
        yield
    finally:
        torch.set_num_threads(before)
