"""Which samples of a dataset form the probe: the keys that a sampler covers, and the choice among them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from torch.utils.data.distributed import DistributedSampler

from lightning_factorlens._private_api.data_loading import wrapped_sampler

#: Keys that are read from a sampler at most, and from one over a dataset without a length.
MAX_KEYS = 1_000_000
MAX_KEYS_WITHOUT_LENGTH = 2_048


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


@dataclass(frozen=True)
class Choice:
    """Chooses the samples of the probe among the keys of a dataset.

    Attributes:
        size: Number of samples.
        seed: Seed of the choice.
        batch_size: Largest number of samples in a batch.
    """

    size: int
    seed: int
    batch_size: int

    def samples(self, keys: Sequence[Any]) -> list[list[Any]]:
        """Batches of some of the keys, in their order."""
        chosen = [keys[i] for i in subsample_indices(len(keys), self.size, self.seed).tolist()]
        return self._split(chosen)

    def batches(self, batches: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Some of the batches that a batch sampler formed, in their order; the last one may be shortened.

        A batch sampler may put only samples of equal length together, so its batches are not mixed.
        """
        order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(self.seed)).tolist()
        n_chosen = 0
        chosen: dict[int, list[Any]] = {}
        for position in order:
            if n_chosen >= self.size:
                break
            chosen[position] = list(batches[position])[: self.size - n_chosen]
            n_chosen += len(chosen[position])
        split: list[list[Any]] = []
        for position in sorted(chosen):
            split += self._split(chosen[position])
        return split

    def shuffled(self, keys: Sequence[Any]) -> list[Any]:
        """All keys in random order, for those that select a whole batch each, of a size that is not known."""
        order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(self.seed)).tolist()
        return [keys[position] for position in order]

    def _split(self, keys: list[Any]) -> list[list[Any]]:
        return [keys[start : start + self.batch_size] for start in range(0, len(keys), self.batch_size)]


def known_keys(sampler: Any) -> Sequence[Any] | None:
    """The keys that a sampler covers, as far as that is known without iterating over an object of the user.

    Args:
        sampler: The sampler of a loader. A Trainer wraps it for several devices; then the keys of all devices count.

    Returns:
        The keys; None for a sampler of the user's own.

    Example:
        >>> known_keys(SubsetRandomSampler([7, 3])), known_keys(iter([1, 2]))
        ([7, 3], None)
    """
    if isinstance(sampler, (list, tuple, range, np.ndarray, Tensor)):
        return unique_keys(sampler)
    iterates = type(sampler).__iter__
    if iterates in (SequentialSampler.__iter__, RandomSampler.__iter__):
        return range(len(sampler.data_source))
    if iterates is SubsetRandomSampler.__iter__:
        return list(sampler.indices)
    if iterates is DistributedSampler.__iter__:
        return range(len(sampler.dataset))
    if iterates is WeightedRandomSampler.__iter__:
        private = copy.copy(sampler)
        if private.generator is not None:
            private.generator = private.generator.clone_state()
        return unique_keys(private)
    return None


def unwrapped_sampler(sampler: Any) -> Any:
    """The user's sampler, which a Trainer wraps for several devices."""
    if isinstance(sampler, DistributedSampler):
        inner = wrapped_sampler(sampler.dataset)
        return sampler if inner is None else inner
    return sampler


def unique_keys(keys: Any) -> list[Any]:
    """Distinct keys in ascending order; keys that cannot be compared stay as they are.

    Example:
        >>> unique_keys([3, 1, 3]), unique_keys([[3], [1]])
        ([1, 3], [[3], [1]])
    """
    plain: list[Any] = []
    for key in keys:
        is_number = isinstance(key, np.integer) or (isinstance(key, Tensor) and key.ndim == 0)
        plain.append(int(key) if is_number else key)
    try:
        return sorted(set(plain))
    except TypeError:
        return plain


def max_keys(dataset: Any) -> int:
    """How many keys are read from a sampler of the user's own, which may be infinite."""
    try:
        return min(len(dataset), MAX_KEYS)
    except TypeError:
        return MAX_KEYS_WITHOUT_LENGTH


def first_keys(sampler: Any, count: int) -> list[Any]:
    """The distinct keys among the first that a sampler yields."""
    return unique_keys(islice(iter(sampler), count))


def first_batches(batch_sampler: Any, count: int) -> list[list[Any]]:
    """The first batches that a batch sampler yields, until they have a number of keys."""
    batches: list[list[Any]] = []
    n_keys = 0
    for batch in islice(iter(batch_sampler), count):
        batches.append(list(batch))
        n_keys += len(batches[-1])
        if n_keys >= count:
            break
    return batches
