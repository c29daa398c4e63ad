"""Which images: a fixed probe from a tensor, a dataset or a loader, labels dropped, nobody's random state touched."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)
from torch.utils.data.distributed import DistributedSampler

from lightning_factorlens.probing.guest import preserved_random_states

ProbeSource = Tensor | Dataset[Any] | DataLoader[Any]


def probe_images(source: ProbeSource, size: int, seed: int = 0) -> Tensor:
    """Draws the probe.

    Args:
        source: A tensor of images (its first ``size`` are taken, drawn at random when there are more), a dataset or a
            loader, of which only the dataset, the collate function and the samples it covers are used: iterating the
            loader itself would advance its random state and its workers.
        size: How many images; fewer when there are not so many.
        seed: Of the draw; the same seed gives the same images.

    Returns:
        Shape (N, …) on the source's device.

    Raises:
        TypeError: A source or a sample that holds no images.
        ValueError: No images at all.
    """
    with preserved_random_states():
        torch.manual_seed(seed)  # for random transforms of the dataset, inside the preserved state
        if isinstance(source, Tensor):
            images = source[_draw(len(source), size, seed)]
        elif isinstance(source, DataLoader):
            images = _from_dataset(source.dataset, _covered(source), size, seed, source.collate_fn)
        elif isinstance(source, Dataset) or hasattr(source, "__getitem__"):
            images = _from_dataset(source, None, size, seed, default_collate)
        else:
            raise TypeError(
                f"probe: found {type(source).__name__}; give a tensor of images, a dataset or a DataLoader."
            )
    if len(images) == 0:
        raise ValueError("probe: found no images in it.")
    return images


def _draw(n: int, size: int, seed: int) -> Tensor:
    """Indices spread over all samples: many validation sets are sorted by class."""
    if n <= size:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:size].sort().values


def _covered(loader: DataLoader[Any]) -> Sequence[int] | None:
    """The indices a loader serves; None for all. Its sampler may be what separates validation from training."""
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    if sampler is None or isinstance(sampler, (SequentialSampler, RandomSampler, DistributedSampler)):
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


def _from_dataset(dataset: Any, covered: Sequence[int] | None, size: int, seed: int, collate: Any) -> Tensor:
    if isinstance(dataset, IterableDataset):
        return _from_stream(dataset, size, collate)
    indices = _draw(len(dataset) if covered is None else len(covered), size, seed).tolist()
    samples = [dataset[i if covered is None else covered[i]] for i in indices]
    return (
        images_of(collate(samples) if collate is not None else default_collate(samples)) if samples else torch.empty(0)
    )


def _from_stream(dataset: Iterable[Any], size: int, collate: Any) -> Tensor:
    iterator = iter(dataset)
    if iterator is dataset:
        raise TypeError(
            "probe: this IterableDataset is its own iterator, so looking at it would use up your data; "
            "pass a tensor of images or a map-style dataset as `probe=`."
        )
    samples = [sample for sample, _ in zip(iterator, range(size))]
    return images_of((collate or default_collate)(samples)) if samples else torch.empty(0)


def images_of(batch: Any) -> Tensor:
    """The images of a batch, its labels dropped: the first floating-point (or uint8) tensor of two dimensions or more.

    Raises:
        TypeError: There is none.
    """
    if isinstance(batch, dict):
        named = [batch[k] for k in ("image", "images", "pixel_values", "x", "input", "inputs") if k in batch]
        batch = [*named, *batch.values()]
    for candidate in batch if isinstance(batch, (tuple, list)) else (batch,):
        if isinstance(candidate, Tensor):
            if candidate.ndim >= 2 and (candidate.is_floating_point() or candidate.dtype == torch.uint8):
                return candidate
        elif isinstance(candidate, (tuple, list, dict)):
            return images_of(candidate)
    raise TypeError(
        f"probe: found no tensor of images in a batch of type {type(batch).__name__}; "
        "pass `probe=` a tensor (N, C, H, W)."
    )
