"""Which samples: a fixed probe from a tensor, a batch, a dataset or a loader, nobody's random state touched."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_factorlens.capture.batch import find_inputs, tree_leaves, tree_map
from lightning_factorlens.capture.isolation import isolate_rng
from lightning_factorlens.capture.sampling import draw_samples, subsample_indices

ProbeSource = Tensor | Mapping[str, Any] | Dataset[Any] | DataLoader[Any]


def probe_images(source: ProbeSource, size: int, seed: int = 0, transfer: Callable[[Any], Any] | None = None) -> Tensor:
    """The inputs of a probe, its labels and all else dropped: `probe_batch`, then `input_of`."""
    return find_inputs(probe_batch(source, size, seed, transfer))


def probe_batch(source: ProbeSource, size: int, seed: int = 0, transfer: Callable[[Any], Any] | None = None) -> Any:
    """Draws the probe.

    Args:
        source: A tensor of inputs as the model takes them, a dict of tensors, a dataset, or a loader.
        size: How many samples; fewer when there are not so many.
        seed: Of the draw, and of random transforms in the dataset; the same seed gives the same samples. A dataset
            that draws from a generator of its own advances it: let the probe have such a dataset for itself.
        transfer: What becomes of a collated batch on its way to the model (a Trainer's batch-transfer hooks).

    Returns:
        A collated batch; a tensor where the source is one.

    Raises:
        TypeError: A source that holds no samples.
        ValueError: No samples at all.
    """
    with isolate_rng():
        _seed_preserved(seed)
        if isinstance(source, (Tensor, Mapping)):
            n = (
                len(source)
                if isinstance(source, Tensor)
                else max((len(t) for t in tree_leaves(source) if t.ndim), default=0)
            )
            rows = subsample_indices(n, size, seed)
            batch = tree_map(lambda p: p[rows] if isinstance(p, Tensor) and p.ndim and len(p) == n else p, source)
        elif isinstance(source, DataLoader) or hasattr(source, "__getitem__") or hasattr(source, "__iter__"):
            found, collate = draw_samples(source, size, seed)
            n, batch = len(found), collate(found) if found else None
            batch = transfer(batch) if transfer is not None and found else batch
        else:
            raise TypeError(
                f"probe: found {type(source).__name__}; give a tensor of images, a dict of tensors, a dataset "
                "or a loader."
            )
    if n == 0:
        raise ValueError("probe: found no images in it.")
    return batch


def _seed_preserved(seed: int) -> None:
    """For random transforms of a dataset; `torch.manual_seed` would seed the accelerators too."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
