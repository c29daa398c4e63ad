"""Drawing the probe: fixed samples of a tensor, a batch, a dataset or a loader, without changing any random state."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_factorlens.capture.isolation import isolate_rng
from lightning_factorlens.capture.sampling import draw_samples, subsample_indices
from lightning_factorlens.capture.tree import tree_leaves, tree_map

ProbeSource = Tensor | Mapping[str, Any] | Dataset[Any] | DataLoader[Any]


def probe_batch(source: ProbeSource, size: int, seed: int = 0, transfer: Callable[[Any], Any] | None = None) -> Any:
    """Draws the probe.

    Args:
        source: A tensor of inputs as the model takes them, a dictionary of tensors, a dataset, or a loader.
        size: Number of samples; fewer if the source has fewer.
        seed: Seed of the draw, and of random transforms in the dataset; the same seed gives the same samples. A dataset
            that draws from a generator of its own advances it: give the probe such a dataset for itself.
        transfer: Applied to the collated batch of a dataset or loader (a Trainer's batch-transfer hooks).

    Returns:
        A collated batch; a tensor if the source is one.

    Raises:
        TypeError: A source that holds no samples.
        ValueError: A source that is empty.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> images, labels = probe_batch(TensorDataset(torch.rand(10, 3), torch.arange(10)), size=4)
        >>> tuple(images.shape), tuple(labels.shape)
        ((4, 3), (4,))
    """
    with isolate_rng():
        _seed_cpu(seed)
        if isinstance(source, (Tensor, Mapping)):
            n_samples, batch = _rows_of_tensors(source, size, seed)
        elif isinstance(source, DataLoader) or hasattr(source, "__getitem__") or hasattr(source, "__iter__"):
            samples, collate = draw_samples(source, size, seed)
            n_samples = len(samples)
            batch = None
            if samples:
                batch = collate(samples)
                batch = batch if transfer is None else transfer(batch)
        else:
            raise TypeError(
                f"probe: found {type(source).__name__}; give a tensor of images, a dictionary of tensors, a dataset "
                "or a loader."
            )
    if n_samples == 0:
        raise ValueError("probe: found a source without samples; give one that has at least one sample.")
    return batch


def _rows_of_tensors(source: Tensor | Mapping[str, Any], size: int, seed: int) -> tuple[int, Any]:
    """The number of samples in a tensor or a dictionary of tensors, and some of the samples."""
    n_samples = 0
    for tensor in tree_leaves(source):
        if tensor.ndim > 0:
            n_samples = max(n_samples, len(tensor))
    rows = subsample_indices(n_samples, size, seed)

    def select(part: Any) -> Any:
        has_rows = isinstance(part, Tensor) and part.ndim > 0 and len(part) == n_samples
        if has_rows:
            return part[rows]
        return part

    return n_samples, tree_map(select, source)


def _seed_cpu(seed: int) -> None:
    """Seeds the generators that random transforms use; `torch.manual_seed` would also seed those of accelerators."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
