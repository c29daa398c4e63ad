"""Samples of a dataset, or of those that a loader serves, without iterating over the loader.

An iteration would advance the loader's random state and start its workers. Its dataset, its collate function and the
indices that its sampler covers are sufficient.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
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
    """Indices drawn without replacement from all n samples, since many validation sets are sorted by class.

    Args:
        n: Number of samples.
        size: Number of indices; all of them if n is not larger.
        seed: Seed of the draw, from a generator of its own.

    Returns:
        Shape (min(n, size),), ascending.

    Example:
        >>> subsample_indices(3, 5, seed=0)
        tensor([0, 1, 2])
    """
    if n <= size:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:size].sort().values


def draw_samples(source: Any, size: int, seed: int) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """At most ``size`` samples of a dataset or of a loader's dataset, and the function that makes a batch of them.

    Args:
        source: A dataset or a ``DataLoader``.
        size: Largest number of samples.
        seed: Seed of the draw.

    Returns:
        The samples, and the collate function.

    Raises:
        TypeError: An iterable dataset that is its own iterator, which reading would use up.

    Example:
        >>> samples, collate = draw_samples([1.0, 2.0, 3.0], size=5, seed=0)
        >>> collate(samples)
        tensor([1., 2., 3.], dtype=torch.float64)
    """
    dataset: Any = source
    collate: Callable[[list[Any]], Any] = default_collate
    if isinstance(source, DataLoader):
        dataset = source.dataset
        if source.batch_sampler is not None:
            collate = source.collate_fn
    if isinstance(dataset, IterableDataset):
        return list(islice(_stream(dataset), size)), collate
    covered: Sequence[int] | None = None
    if isinstance(source, DataLoader):
        covered = _covered_indices(source)
    if covered is None:
        covered = range(len(dataset))
    samples = []
    for i in subsample_indices(len(covered), size, seed).tolist():
        samples.append(dataset[covered[i]])
    return samples, collate


def _stream(dataset: IterableDataset[Any]) -> Iterator[Any]:
    """A new iterator over the stream."""
    iterator = iter(dataset)
    if iterator is dataset:
        raise TypeError(
            f"probe: found {type(dataset).__name__}, an IterableDataset that is its own iterator, so that reading "
            "samples from it would use up your data; pass a tensor of images or a map-style dataset as `probe=`."
        )
    return iterator


def _covered_indices(loader: DataLoader[Any]) -> Sequence[int] | None:
    """The indices that a loader serves; None for all. A sampler may be what separates validation from training."""
    batches = loader.batch_sampler
    if batches is not None and type(batches) is not BatchSampler:
        with _preserve_generator(batches), _preserve_generator(getattr(batches, "sampler", None)):
            indices: set[int] = set()
            for batch in copy.copy(batches):
                indices.update(map(int, batch))
            return sorted(indices)
    sampler: Any = loader.sampler
    if isinstance(sampler, DistributedSampler):  # a Trainer makes the user's sampler the dataset of this one
        sampler = wrapped_sampler(sampler.dataset)
    if sampler is None or isinstance(sampler, (SequentialSampler, RandomSampler)):
        return None
    if hasattr(sampler, "indices"):
        return list(sampler.indices)
    with _preserve_generator(sampler):
        return sorted(set(map(int, copy.copy(sampler))))


@contextmanager
def _preserve_generator(sampler: Any) -> Iterator[None]:
    """Restores the state of a sampler's own generator, if it has one."""
    generator = getattr(sampler, "generator", None)
    if generator is None:
        yield
        return
    state = generator.get_state()
    try:
        yield
    finally:
        generator.set_state(state)
