"""Receptive fields by a loop over the taps of the kernel, written without the package, as the oracle."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def looped_fields(module: Any, inputs: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Ψ of a convolution or linear layer, in the precision of the inputs.

    Args:
        module: The layer.
        inputs: Shape (N, c, …) for a convolution, (N, …, c) for a linear layer.
        grid: Shape of the output without samples and channels.

    Returns:
        Shape (N, groups, c/groups·∏k, positions).
    """
    if isinstance(module, nn.Linear):
        return inputs.reshape(len(inputs), 1, -1, inputs.shape[-1]).mT
    padded, stride = _padded(module, inputs, grid)
    taps = []
    for tap in itertools.product(*[range(size) for size in module.kernel_size]):
        window: list[slice] = [slice(None), slice(None)]
        for axis, index in enumerate(tap):
            if module.transposed:
                index = module.kernel_size[axis] - 1 - index
            start = index * module.dilation[axis]
            window.append(slice(start, start + (grid[axis] - 1) * stride[axis] + 1, stride[axis]))
        taps.append(padded[tuple(window)].flatten(2))
    fields = torch.stack(taps, 2)  # (N, c, taps, positions)
    return fields.unflatten(1, (module.groups, -1)).flatten(2, 3)


def unfolded(module: Any) -> Tensor:
    """W1 in float64, shape (groups, d/groups, c/groups·∏k)."""
    weight = module.weight.detach().double()
    if isinstance(module, nn.Linear):
        return weight[None]
    by_group = weight.unflatten(0, (module.groups, -1))
    if module.transposed:
        by_group = by_group.transpose(1, 2)
    return by_group.flatten(2)


def _padded(module: Any, inputs: Tensor, grid: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """The input with its padding, and the stride of the windows in it."""
    sides: list[int] = []
    n_axes = len(grid)
    for axis in reversed(range(n_axes)):
        reach = module.dilation[axis] * (module.kernel_size[axis] - 1)
        if module.padding == "same":
            sides += [reach // 2, reach - reach // 2]
        elif module.transposed:
            sides += [reach - module.padding[axis], 0]
        else:
            sides += [module.padding[axis]] * 2
    if not module.transposed:
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        return F.pad(inputs, sides, mode=mode), module.stride
    spread = inputs
    for axis in range(2, 2 + n_axes):
        zeros = [torch.zeros_like(spread)] * (module.stride[axis - 2] - 1)
        spread = torch.stack([spread, *zeros], axis + 1).flatten(axis, axis + 1)
    for axis in range(n_axes):  # enough zeros behind, of which the windows take what they need
        reach = module.dilation[axis] * (module.kernel_size[axis] - 1)
        sides[2 * (n_axes - 1 - axis) + 1] = max(0, grid[axis] + reach)
    return F.pad(spread, sides), (1,) * n_axes
