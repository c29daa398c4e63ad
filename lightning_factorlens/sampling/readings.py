"""What is read of the user's objects to draw the probe; any process can do it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.tree import tree_leaves
from lightning_factorlens.sampling.stateless import is_stateless_collate, is_stateless_value

#: Receives the number of samples that have been read so far.
Report = Callable[[int], None]


class Reading(ABC):
    """Reads batches from the user's objects, which it holds.

    Attributes:
        collate: The user's collate function.
        size: Number of samples in the probe.
    """

    collate: Callable[[Any], Any]
    size: int

    @property
    @abstractmethod
    def name(self) -> str:
        """The type of the user's object that is read."""

    @property
    @abstractmethod
    def is_one_shot(self) -> bool:
        """Whether reading in this process may use up what the training or validation is to read."""

    @property
    @abstractmethod
    def is_stateless(self) -> bool:
        """Whether reading changes nothing, so that it may happen in this process."""

    @property
    @abstractmethod
    def counted(self) -> bool:
        """Whether the number of collated samples is known."""

    @abstractmethod
    def read(self, report: Report) -> Iterator[DrawnBatch]:
        """Yields batches until they hold enough samples, and reads no more than these."""

    @abstractmethod
    def loader_arguments(self) -> dict[str, Any]:
        """What to construct a ``DataLoader`` with that yields these batches, perhaps more, without the collating."""


@dataclass
class StreamReading(Reading):
    """The beginning of an iterable: samples that are collated, or batches.

    Attributes:
        stream: The iterable.
        collate: Makes a batch of a list of samples, or converts a batch.
        batch_size: Number of samples in a batch; None for a stream of batches.
        size: Number of samples in the probe.
        source: The user's object; ``stream`` may only wrap it.
    """

    stream: Iterable[Any]
    collate: Callable[[Any], Any]
    batch_size: int | None
    size: int
    source: Any
    is_one_shot = True

    @property
    def name(self) -> str:
        """The type of the user's object."""
        return type(self.source).__name__

    @property
    def is_stateless(self) -> bool:
        """Whether the stream is a list of tensors and such."""
        return is_stateless_collate(self.collate) and is_stateless_value(self.stream)

    @property
    def counted(self) -> bool:
        """Whether samples are collated."""
        return self.batch_size is not None

    def read(self, report: Report) -> Iterator[DrawnBatch]:
        """Yields the first samples, in batches."""
        if self.batch_size is None:
            yield from self._read_batches(report)
            return
        n_read = 0
        samples = islice(iter(self.stream), self.size)
        while True:
            batch = []
            for sample in islice(samples, self.batch_size):
                batch.append(sample)
                report(n_read + len(batch))
            if not batch:
                return
            n_read += len(batch)
            yield DrawnBatch(self.collate(batch), len(batch))

    def _read_batches(self, report: Report) -> Iterator[DrawnBatch]:
        n_rows = 0
        for _ in range(2):  # an iterator that stands at the end of an epoch begins the next one when iterated again
            for part in self.stream:
                batch = self.collate(part)
                n_rows += count_rows(batch)
                report(n_rows)
                yield DrawnBatch(batch, None)
                if n_rows >= self.size:
                    return
            if n_rows > 0:
                return

    def loader_arguments(self) -> dict[str, Any]:
        """The stream and the size of its batches."""
        return {"dataset": self.stream, "batch_size": self.batch_size}


def count_rows(batch: Any) -> int:
    """Number of samples in a batch, by the first tensor that has axes; 1 for other data.

    Example:
        >>> import torch
        >>> count_rows((torch.rand(4, 3), torch.zeros(4))), count_rows("text")
        (4, 1)
    """
    for tensor in tree_leaves(batch):
        if tensor.ndim > 0:
            return len(tensor)
    n_graphs = getattr(batch, "num_graphs", None)
    return n_graphs if isinstance(n_graphs, int) else 1
