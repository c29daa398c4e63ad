"""Which channel each feature of a block belongs to."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def channel_index(shape: tuple[int, ...], kept_features: Tensor | None = None) -> Tensor:
    """The channel of every captured feature.

    Args:
        shape: Shape of one sample's features. Each neuron of (n,) is a channel; of (T, D), as transformers have it,
            the last axis is; of (C, H, W) and more axes, the first.
        kept_features: Indices of the captured features; None for all of them.

    Returns:
        Shape (features,), int64, on the CPU.

    Example:
        >>> channel_index((2, 1, 3)).tolist(), channel_index((2, 3)).tolist()
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])
    """
    features = torch.arange(math.prod(shape)) if kept_features is None else kept_features.cpu()
    if len(shape) <= 1:
        return features
    if len(shape) == 2:
        return features % shape[1]
    return features // math.prod(shape[1:])


def n_channels(shape: tuple[int, ...]) -> int:
    """The number of channels of a block, see `channel_index`.

    Example:
        >>> n_channels((7,)), n_channels((5, 7)), n_channels((3, 8, 8))
        (7, 7, 3)
    """
    if not shape:
        return 1
    return shape[-1] if len(shape) == 2 else shape[0]


def channel_sums(values: Tensor, shape: tuple[int, ...], kept_features: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sums over the captured features of each channel.

    Args:
        values: Shape (…, features).
        shape: See `channel_index`.
        kept_features: See `channel_index`.

    Returns:
        The sums, shape (…, channels), and the number of captured features of each channel, shape (channels,).

    Example:
        >>> channel_sums(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), (2, 1, 2))[0].tolist()
        [[3.0, 7.0]]
    """
    index = channel_index(shape, kept_features).to(values.device)
    size = n_channels(shape)
    sums = values.new_zeros(*values.shape[:-1], size)
    return sums.index_add_(-1, index, values), torch.bincount(index, minlength=size)
