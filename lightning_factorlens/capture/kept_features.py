"""The neurons of a layer that are kept: their draw, and reading them from an output of any memory format."""

from __future__ import annotations

import zlib
from functools import lru_cache

import torch
from torch import Tensor

from lightning_factorlens.results import LayerInfo

#: Layers whose draws are remembered.
MAX_DRAWS = 256
#: Kinds of devices on which a view of any strides can be read.
STRIDED_DEVICES = ("cpu", "cuda")


def draw_features(layer: LayerInfo, max_neurons: int | None, seed: int) -> Tensor | None:
    """Draws the neurons of a layer that are captured.

    Args:
        layer: The layer; its name enters the draw, so that layers of equal width get different neurons.
        max_neurons: Largest number of neurons; None for all of them.
        seed: Seed of the draw.

    Returns:
        Indices into the flattened output of one sample, ascending; None for all of them.
    """
    n_features = torch.Size(layer.shape).numel()
    if max_neurons is None or n_features <= max_neurons:
        return None
    return _draw(n_features, max_neurons, seed + zlib.crc32(layer.name.encode())).clone()


@lru_cache(maxsize=MAX_DRAWS)
def _draw(n_features: int, max_neurons: int, seed: int) -> Tensor:
    """The draw itself, which takes several milliseconds for a wide layer."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n_features, generator=generator)[:max_neurons].sort().values.clone()


def read_features(rows: Tensor, features: Tensor) -> Tensor:
    """Some entries of every row; nothing else is copied, whatever the order of the axes in memory.

    Args:
        rows: Shape (n, …).
        features: Indices into one flattened row, shape (k,), on the device of ``rows``.

    Returns:
        Shape (n, k).

    Example:
        >>> images = torch.arange(8.0).view(1, 2, 2, 2).contiguous(memory_format=torch.channels_last)
        >>> read_features(images, torch.tensor([1, 6]))
        tensor([[1., 6.]])
    """
    is_plain = type(rows) is Tensor and rows.layout == torch.strided and rows.device.type in STRIDED_DEVICES
    if rows.is_contiguous() or not is_plain:
        return rows.flatten(1).index_select(1, features)
    offsets = torch.zeros_like(features)
    rest = features
    span = 1
    for size, stride in zip(reversed(rows.shape[1:]), reversed(rows.stride()[1:])):
        offsets += rest.remainder(size) * stride
        rest = rest.div(size, rounding_mode="floor")
        span += (size - 1) * stride
    memory = rows.as_strided((len(rows), span), (rows.stride(0), 1))
    return memory.gather(1, offsets.expand(len(rows), -1))


def read_rows(rows: Tensor, index: Tensor, features: Tensor) -> Tensor:
    """Some entries of some rows.

    Args:
        rows: Shape (n, …).
        index: Rows, shape (m,).
        features: Indices into one flattened row, shape (k,).

    Returns:
        Shape (m, k).

    Example:
        >>> read_rows(torch.arange(6).view(3, 2), torch.tensor([2, 0]), torch.tensor([1]))
        tensor([[5],
                [1]])
    """
    if rows.is_contiguous():
        return rows.flatten(1)[index[:, None], features]
    return read_features(rows[index], features)
