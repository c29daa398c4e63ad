"""Drawing the probe: fixed samples of a tensor, a batch, a dataset or a loader, without changing any of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_leaves, tree_map
from lightning_factorlens.isolation.isolation import isolate_rng
from lightning_factorlens.sampling.isolated_reading import read_isolated
from lightning_factorlens.sampling.probe_source import make_reading
from lightning_factorlens.sampling.sampling import subsample_indices
from lightning_factorlens.sampling.seeding import seed_cpu

ProbeSource = Tensor | Mapping[str, Any] | Dataset[Any] | DataLoader[Any]


def draw_batches(
    source: ProbeSource,
    size: int,
    seed: int = 0,
    *,
    transfer: Callable[[Any], Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> list[DrawnBatch]:
    """Draws the probe in batches, each as the loader's collate function makes it.

    The user's objects stay as they are: data are read in processes of their own, with the settings of the loader, or
    from a private copy. Where neither works, they are read in this process, and a warning says so.

    Args:
        source: A tensor of inputs as the model takes them, a dictionary of tensors, a dataset, a loader, or an iterable
            of batches.
        size: Number of samples; fewer if the source has fewer. Batches that the source yields as a whole may hold more.
        seed: Seed of the draw, and of random transforms in the dataset.
        transfer: Applied to each batch of a dataset or loader (a Trainer's batch-transfer hooks).
        progress: Receives, while data are read, how many samples have been read and how many are wanted.
        notify: Receives the warning; by default it is a ``UserWarning``.

    Returns:
        The batches, of at most the loader's batch size and at most 128 samples each if they are collated here.

    Raises:
        TypeError: A source that holds no samples, or a stream that could be read only by using it up.
        ValueError: A source that is empty.
        Exception: An error of the dataset, the sampler or the collate function.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> loader = DataLoader(TensorDataset(torch.rand(10, 3), torch.arange(10)), batch_size=4)
        >>> [batch.n_samples for batch in draw_batches(loader, size=6)]
        [4, 2]
    """
    with isolate_rng():
        seed_cpu(seed)
        if isinstance(source, (Tensor, Mapping)):
            n_samples, rows = _rows_of_tensors(source, size, seed)
            return [DrawnBatch(rows, n_samples)]
        reading, settings = make_reading(source, size, seed)

        def report(count: int) -> None:
            if progress is not None:
                progress(min(count, size), size)

        batches: list[DrawnBatch] = read_isolated(reading, settings, seed, report, notify or _warn)
        if not batches:
            raise ValueError(_EMPTY)
        batches = [batch for batch in batches if batch.data is not None]
        if not batches:
            raise ValueError(
                "probe: found that the collate function returned None for every batch; pass `probe=` samples that it "
                "does not drop."
            )
        if transfer is None:
            return batches
        return [DrawnBatch(transfer(batch.data), batch.n_samples) for batch in batches]


def probe_batch(source: ProbeSource, size: int, seed: int = 0, transfer: Callable[[Any], Any] | None = None) -> Any:
    """Draws the probe as one batch.

    Args:
        source: See `draw_batches`.
        size: Number of samples; fewer if the source has fewer.
        seed: Seed of the draw, and of random transforms in the dataset; the same seed gives the same samples.
        transfer: Applied to each collated batch of a dataset or loader (a Trainer's batch-transfer hooks).

    Returns:
        A collated batch; a tensor if the source is one.

    Raises:
        TypeError: A source that holds no samples, or a stream that could be read only by using it up.
        ValueError: A source that is empty.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> images, labels = probe_batch(TensorDataset(torch.rand(10, 3), torch.arange(10)), size=4)
        >>> tuple(images.shape), tuple(labels.shape)
        ((4, 3), (4,))
    """
    return Probe.from_batches(draw_batches(source, size, seed, transfer=transfer), size).data


def _rows_of_tensors(source: Tensor | Mapping[str, Any], size: int, seed: int) -> tuple[int, Any]:
    """Some of the samples of a tensor or a dictionary of tensors, and their number."""
    n_samples = 0
    for tensor in tree_leaves(source):
        if tensor.ndim > 0:
            n_samples = max(n_samples, len(tensor))
    if n_samples == 0:
        raise ValueError(_EMPTY)
    rows = subsample_indices(n_samples, size, seed)

    def select(part: Any) -> Any:
        has_rows = isinstance(part, Tensor) and part.ndim > 0 and len(part) == n_samples
        if has_rows:
            return part[rows]
        return part

    return len(rows), tree_map(select, source)


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=2)


_EMPTY = "probe: found a source without samples; give one that has at least one sample."
