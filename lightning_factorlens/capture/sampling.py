"""Samples of a dataset, or of those that a loader serves, without iterating the loader.

Iterating it would advance its random state and start its workers; its dataset, its collate function and the indices
that its sampler covers are all that is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)
from torch.utils.data.distributed import DistributedSampler

from lightning_factorlens._private_api import wrapped_sampler


def subsample_indices(n: int, size: int, seed: int) -> Tensor:
    """Indices spread over all n samples, ascending: many validation sets are sorted by class."""
    if n <= size:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:size].sort().values


def draw_samples(source: Any, size: int, seed: int) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """At most ``size`` samples of a dataset or of a loader's, and how to make a batch of them.

    Args:
        source: A dataset or a DataLoader.
        size: How many.
        seed: Of the draw.

    Raises:
        TypeError: A stream that looking at would use up.
    """
    loader = source if isinstance(source, DataLoader) else None
    dataset: Any = source if loader is None else loader.dataset
    batched = loader is not None and loader.batch_sampler is not None
    collate = loader.collate_fn if loader is not None and batched else default_collate
    if isinstance(dataset, IterableDataset):
        return [sample for sample, _ in zip(_stream(dataset), range(size))], collate
    covered = None if loader is None else _covered(loader)
    indices = subsample_indices(len(dataset) if covered is None else len(covered), size, seed).tolist()
    return [dataset[i if covered is None else covered[i]] for i in indices], collate


def _stream(dataset: IterableDataset[Any]) -> Iterator[Any]:
    iterator = iter(dataset)
    if iterator is dataset:
        raise TypeError(
            "probe: this IterableDataset is its own iterator, so looking at it would use up your data; "
            "pass a tensor of images or a map-style dataset as `probe=`."
        )
    return iterator


def _covered(loader: DataLoader[Any]) -> Sequence[int] | None:
    """The indices a loader serves; None for all. Its sampler may be what separates validation from training."""
    batches = loader.batch_sampler
    if batches is not None and type(batches) is not BatchSampler:
        with _kept_generator(batches), _kept_generator(getattr(batches, "sampler", None)):
            return sorted({int(i) for batch in copy.copy(batches) for i in batch})
    sampler: Any = loader.sampler
    if isinstance(sampler, DistributedSampler):  # a Trainer makes the user's sampler this one's dataset
        sampler = wrapped_sampler(sampler.dataset)
    if sampler is None or isinstance(sampler, (SequentialSampler, RandomSampler)):
        return None
    if hasattr(sampler, "indices"):
        return list(sampler.indices)
    with _kept_generator(sampler):
        return sorted({int(i) for i in copy.copy(sampler)})


class _kept_generator:
    """Puts the state of a sampler's own generator back."""

    def __init__(self, sampler: Any) -> None:
        self.generator = getattr(sampler, "generator", None)

    def __enter__(self) -> None:
        self.state = None if self.generator is None else self.generator.get_state()

    def __exit__(self, *_: object) -> None:
        if self.generator is not None:
            self.generator.set_state(self.state)
