"""A limit on the number of CPU threads, according to the amount of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: Numbers that one thread processes before a second thread saves time.
PER_THREAD = 16_000_000


@contextmanager
def limit_threads(numbers: int) -> Iterator[None]:
    """Limits torch to one thread per 16 million numbers inside the context; the number of threads is restored after.

    A fit consists of thousands of small products, and all threads synchronize after each of them. When another program
    occupies a core, each synchronization lasts until that program is preempted, and two threads can take a hundred
    times as long as one. The number of threads never increases.

    Args:
        numbers: Count of the numbers that are processed at a time.

    Yields:
        Nothing.

    Example:
        >>> import torch
        >>> with limit_threads(1000):
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    limit = min(before, max(1, round(numbers / PER_THREAD)))
    if limit == before:
        yield
        return
    torch.set_num_threads(limit)
    try:
        yield
    finally:
        torch.set_num_threads(before)
