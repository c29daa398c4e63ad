"""What is read to draw the probe, by the kind of its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, IterDataPipe, default_collate, default_convert

from lightning_factorlens._private_api.data_loading import iterates_by_itself
from lightning_factorlens.sampling.key_source import KeySource, KnownKeys, SampledKeys
from lightning_factorlens.sampling.keyed_readings import SampleReading, WholeBatchReading
from lightning_factorlens.sampling.readings import Reading, StreamReading
from lightning_factorlens.sampling.sampling import Choice, known_keys, max_keys, unwrapped_sampler
from lightning_factorlens.sampling.worker_reading import WorkerSettings

#: Largest number of samples that are collated together.
MAX_BATCH_SIZE = 128
#: Batches are made smaller until every worker has one, but not below this number of samples.
MIN_SHARED_BATCH = 16


class FinishedBatches:
    """An iterable of batches that are complete, such as the validation data of a Trainer that are no ``DataLoader``.

    Args:
        batches: The iterable.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class _WholeLoader:
    """The batches of a loader that iterates in a way of its own, without worker processes.

    Iterating changes settings of the loader, which is therefore one in another process or a copy.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        self.loader.num_workers = 0
        self.loader.timeout = 0
        self.loader.pin_memory = False
        yield from self.loader


def make_reading(source: Any, size: int, seed: int) -> tuple[Reading, WorkerSettings | None]:
    """What to read of a source, and the settings of its worker processes.

    Args:
        source: A dataset, a loader, or an iterable of batches.
        size: Number of samples in the probe.
        seed: Seed of the choice of samples.

    Returns:
        The reading, and the settings; None where the source has no workers.

    Raises:
        TypeError: The source holds no samples.
    """
    if isinstance(source, DataLoader):
        if iterates_by_itself(source):
            return StreamReading(_WholeLoader(source), default_convert, None, size, source), None
        return _read_loader(source, size, seed), _worker_settings(source)
    choice = Choice(size, seed, MAX_BATCH_SIZE)
    if isinstance(source, IterableDataset):
        return StreamReading(source, default_collate, choice.batch_size, size, source), None
    if isinstance(source, FinishedBatches):
        return StreamReading(source.batches, default_convert, None, size, source.batches), None
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return SampleReading(source, default_collate, KnownKeys(choice.samples(range(len(source)))), size), None
    if hasattr(source, "__iter__"):
        return StreamReading(source, default_convert, None, size, source), None
    raise TypeError(
        f"probe: found {type(source).__name__}; give a tensor of images, a dictionary of tensors, a dataset with "
        "`__getitem__` and `__len__`, an iterable of batches, or a loader."
    )


def _worker_settings(loader: DataLoader[Any]) -> WorkerSettings | None:
    if isinstance(loader.dataset, IterDataPipe):  # its loader calls collective operations, which one rank must not
        return None
    return WorkerSettings.of(loader)


def _read_loader(loader: DataLoader[Any], size: int, seed: int) -> Reading:
    dataset = loader.dataset
    batch_size = min(loader.batch_size or MAX_BATCH_SIZE, MAX_BATCH_SIZE)
    if isinstance(dataset, IterableDataset):
        size_or_none = None if loader.batch_size is None else batch_size
        return StreamReading(dataset, loader.collate_fn, size_or_none, size, dataset)
    batch_sampler: Any = loader.batch_sampler
    if batch_sampler is None:
        keys = _keys(loader.sampler, "whole", dataset, Choice(size, seed, batch_size))
        return WholeBatchReading(dataset, loader.collate_fn, keys, size)
    if type(batch_sampler).__iter__ is BatchSampler.__iter__:
        batch_size = min(batch_sampler.batch_size, MAX_BATCH_SIZE)
        choice = Choice(size, seed, _shared_batch_size(batch_size, size, loader.num_workers))
        keys = _keys(batch_sampler.sampler, "samples", dataset, choice)
    else:
        keys = _keys(batch_sampler, "batches", dataset, Choice(size, seed, batch_size))
    return SampleReading(dataset, loader.collate_fn, keys, size)


def _shared_batch_size(batch_size: int, size: int, num_workers: int) -> int:
    """A batch size that leaves no worker without a batch."""
    if num_workers == 0:
        return batch_size
    return min(batch_size, max(-(-size // num_workers), MIN_SHARED_BATCH))


def _keys(sampler: Any, kind: str, dataset: Any, choice: Choice) -> KeySource:
    """The keys of a sampler: chosen here if they are known, else chosen where the sampler is iterated."""
    if kind == "batches":
        if type(sampler) in (list, tuple):
            return KnownKeys(choice.batches(sampler))
        return SampledKeys(sampler, kind, max_keys(dataset), choice)
    sampler = unwrapped_sampler(sampler)
    known = known_keys(sampler)
    if known is None:
        return SampledKeys(sampler, kind, max_keys(dataset), choice)
    if kind == "whole":
        return KnownKeys([choice.shuffled(known)])
    return KnownKeys(choice.samples(known))
