"""Readings of a map-style dataset, whose samples or batches are selected by keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.sampling.key_source import KeySource, KnownKeys
from lightning_factorlens.sampling.readings import Reading, Report, count_rows
from lightning_factorlens.sampling.stateless import is_stateless_collate, is_stateless_dataset


@dataclass
class KeyedReading(Reading):
    """Reads a map-style dataset.

    Attributes:
        dataset: The dataset.
        collate: Makes a batch of a list of samples, or converts a batch.
        keys: What is read.
        size: Number of samples in the probe.
    """

    dataset: Any
    collate: Callable[[Any], Any]
    keys: KeySource
    size: int

    @property
    def name(self) -> str:
        """The type of the dataset."""
        return type(self.dataset).__name__

    @property
    def is_one_shot(self) -> bool:
        """Whether the sampler can be read only once."""
        return self.keys.is_one_shot

    @property
    def is_stateless(self) -> bool:
        """Whether dataset, keys and collate function are of types that keep no state."""
        is_known = isinstance(self.keys, KnownKeys)
        return is_known and is_stateless_collate(self.collate) and is_stateless_dataset(self.dataset)


@dataclass
class SampleReading(KeyedReading):
    """Samples, collated in batches."""

    counted = True

    def read(self, report: Report) -> Iterator[DrawnBatch]:
        """Yields the batches of the keys."""
        n_read = 0
        for keys in self.keys.key_batches():
            samples = []
            fetch_all = getattr(self.dataset, "__getitems__", None)
            if fetch_all:
                samples = fetch_all(keys)
            else:
                for key in keys:
                    samples.append(self.dataset[key])
                    report(n_read + len(samples))
            n_read += len(keys)
            report(n_read)
            yield DrawnBatch(self.collate(samples), len(keys))

    def loader_arguments(self) -> dict[str, Any]:
        """The dataset and the batches of keys."""
        return {"dataset": self.dataset, "batch_sampler": self.keys.key_batches()}


@dataclass
class WholeBatchReading(KeyedReading):
    """Batches that the dataset returns as a whole (``batch_size=None``); the keys are in one list."""

    counted = False

    def read(self, report: Report) -> Iterator[DrawnBatch]:
        """Yields batches until their tensors have enough rows."""
        n_rows = 0
        for key in self.keys.key_batches()[0]:
            batch = self.collate(self.dataset[key])
            n_rows += count_rows(batch)
            report(n_rows)
            yield DrawnBatch(batch, None)
            if n_rows >= self.size:
                return

    def loader_arguments(self) -> dict[str, Any]:
        """The dataset and all keys."""
        return {"dataset": self.dataset, "sampler": self.keys.key_batches()[0], "batch_size": None}
