"""The inputs as blocks that are factorised together with the activations."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.capture.layer_buffers import LayerBuffer
from lightning_factorlens.results import Block, LayerInfo

#: Largest number of channels that have a block each.
MAX_CHANNEL_BLOCKS = 4
#: Samples that are copied at a time, so that no copy of the whole inputs is made.
CHUNK = 128


def input_blocks(inputs: Tensor, max_neurons_per_layer: int | None = None, seed: int = 0) -> list[Block]:
    """The inputs as blocks: one for each channel of images (D_i of Saini and Papalexakis, 2018), else one for all.

    Images of more than `MAX_CHANNEL_BLOCKS` channels, such as those of many spectral bands, have one block of all
    channels. A block that needs neither a draw nor another dtype is a view of the inputs.

    Token ids, whole numbers of shape (N, T), are names and not amounts: their block holds the number of times that each
    of them occurs in a sample, see `token_counts`.

    Args:
        inputs: Shape (N, C, H, W), or (N, …) for anything else.
        max_neurons_per_layer: Largest number of features that are kept of each block; None for all of them.
        seed: Seed of their draw.

    Returns:
        Blocks ``input/0``, ``input/1`` …

    Example:
        >>> import torch
        >>> [(block.name, tuple(block.samples.shape)) for block in input_blocks(torch.rand(5, 2, 4, 6))]
        [('input/0', (5, 24)), ('input/1', (5, 24))]
    """
    is_amount = inputs.is_floating_point() or inputs.dtype in (torch.uint8, torch.bool)
    if not is_amount and inputs.ndim < 4:
        inputs = token_counts(inputs)
    channels = [inputs]
    if inputs.ndim == 4 and inputs.shape[1] <= MAX_CHANNEL_BLOCKS:
        channels = list(inputs.unbind(1))
    blocks = []
    for i, channel in enumerate(channels):
        layer = LayerInfo(f"input/{i}", "input", tuple(channel.shape[1:]), 0.0, True, "")
        buffer = LayerBuffer(layer, max_neurons_per_layer, seed, len(channel))
        is_block = buffer.features is None and channel.dtype in (torch.float32, torch.float64)
        if is_block and channel.is_contiguous():
            blocks.append(Block(layer.name, "input", channel.flatten(1), layer.shape))
            continue
        for start in range(0, len(channel), CHUNK):
            buffer.keep(buffer.select(channel[start : start + CHUNK]), start)
        blocks.append(replace(buffer.block(), kind="input"))
    return blocks


def token_counts(ids: Tensor) -> Tensor:
    """The number of times that each token occurs in each sample (a term-document matrix).

    Args:
        ids: Whole numbers, shape (N, …).

    Returns:
        Shape (N, V), float32: the counts of the V distinct ids, ascending.

    Example:
        >>> import torch
        >>> token_counts(torch.tensor([[7, 3, 7], [3, 3, 3]]))
        tensor([[1., 2.],
                [3., 0.]])
    """
    distinct, columns = torch.unique(ids.flatten(1), return_inverse=True)
    counts = torch.zeros(len(ids), len(distinct), device=ids.device)
    return counts.scatter_add_(1, columns, torch.ones_like(columns, dtype=counts.dtype))
