"""A probe from whatever holds samples: a tensor, an array, a batch, a dataset or a loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lightning_factorlens.batches.find_inputs import Inputs
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.sampling.probe_batch import draw_batches


def probe_of(
    samples: Any, size: int, seed: int = 0, pick: Callable[[Any], Inputs] | None = None, keep_data: bool = False
) -> Probe:
    """Makes a probe of samples.

    Args:
        samples: A dataset, a list of samples with labels, or a loader, of which ``size`` samples are drawn. Or a
            tensor, a NumPy array (in float64 it gets torch's default dtype), a batch of any structure, of which all
            samples are taken; a probe is returned itself.
        size: Largest number of samples that are drawn.
        seed: Seed of the draw.
        pick: Finds the inputs in a batch; `find_inputs` unless given.
        keep_data: Whether everything in the batches of a dataset or loader is kept, for a function that calls the
            model; otherwise the inputs alone are.

    Raises:
        TypeError, ValueError: As `draw_batches` and `Probe.wrap` raise them.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> images = torch.rand(20, 1, 4, 4)
        >>> len(probe_of(TensorDataset(images, torch.arange(20)), size=8)), len(probe_of(images.numpy(), size=8))
        (8, 20)
    """
    if isinstance(samples, (Dataset, DataLoader)) or _is_sample_list(samples):
        return Probe.from_batches(draw_batches(samples, size, seed), size, pick, keep_data)
    if isinstance(samples, np.ndarray):
        dtype = torch.get_default_dtype() if samples.dtype == np.float64 else None
        samples = torch.tensor(samples, dtype=dtype)
    return Probe.wrap(samples, pick)


def _is_sample_list(samples: Any) -> bool:
    """Whether a list is a dataset: each entry has a plain number, its label, which a collated batch has in a tensor."""
    if not isinstance(samples, list) or not samples:
        return False
    for sample in samples:
        parts = sample.values() if isinstance(sample, Mapping) else sample
        if not isinstance(sample, (tuple, list, Mapping)) or not any(isinstance(part, (int, float)) for part in parts):
            return False
    return True
