"""Unpooling to whole regions: every input of a max pooling gets the largest value of the regions that it lies in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def window_regions(n_inputs: int, n_outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Which inputs the windows of a pooling cover along one axis.

    Args:
        n_inputs: Length of the input.
        n_outputs: Length of the output.
        kernel: Positions in a window.
        stride: Distance of neighbouring windows.
        padding: Positions added before the first input.
        dilation: Distance of neighbouring positions in a window.

    Returns:
        Shape (n_outputs, n_inputs), bool.

    Example:
        >>> window_regions(4, 2, kernel=3, stride=2, padding=1, dilation=1).int().tolist()
        [[1, 1, 0, 0], [0, 1, 1, 1]]
    """
    covers = torch.zeros(n_outputs, n_inputs, dtype=torch.bool)
    for window in range(n_outputs):
        first = window * stride - padding
        for position in range(first, first + kernel * dilation, dilation):
            if 0 <= position < n_inputs:
                covers[window, position] = True
    return covers


def adaptive_regions(n_inputs: int, n_outputs: int) -> Tensor:
    """Which inputs the windows of an adaptive pooling cover along one axis, shape (n_outputs, n_inputs), bool.

    Args:
        n_inputs: Length of the input.
        n_outputs: Length of the output.

    Example:
        >>> adaptive_regions(5, 2).int().tolist()
        [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]]
    """
    covers = torch.zeros(n_outputs, n_inputs, dtype=torch.bool)
    for window in range(n_outputs):
        start = window * n_inputs // n_outputs
        end = -(-(window + 1) * n_inputs // n_outputs)
        covers[window, start:end] = True
    return covers


def spread_to_regions(values: Tensor, regions: Sequence[Tensor]) -> Tensor:
    """Gives every input of a max pooling the value of its region; where regions overlap, the largest one.

    Gulati et al. (2017), section 0.1.6: "pass the maximum to the entire relevant area". A region is a product of
    intervals, so that the largest value is found along one axis after the other.

    Args:
        values: What is passed back to the outputs of the pooling, shape (…, n_outputs of each axis).
        regions: For each of the last axes, shape (n_outputs, n_inputs), see `window_regions`.

    Returns:
        Shape (…, n_inputs of each axis); 0 where an input lies in no region.

    Example:
        >>> overlapping = window_regions(4, 2, kernel=3, stride=2, padding=1, dilation=1)
        >>> spread_to_regions(torch.tensor([-1.0, 5.0]), [overlapping]).tolist()
        [-1.0, 5.0, 5.0, 5.0]
    """
    spread = values
    for axis in range(-1, -len(regions) - 1, -1):  # the last one first: to copy whole rows is faster
        spread = _spread_axis(spread, axis, regions[axis])
    return spread


def _spread_axis(values: Tensor, axis: int, covers: Tensor) -> Tensor:
    """The largest value among the windows that cover each input, along one axis; 0 where there is none."""
    n_windows = covers.sum(0)
    windows = covers.int().argsort(dim=0, descending=True, stable=True)[: max(int(n_windows.max()), 1)]
    spread = values.index_select(axis, windows[0].to(values.device))
    for number, window in enumerate(windows[1:], start=1):
        # An input in fewer windows takes its first one again, which leaves the largest value as it is.
        others = torch.where(n_windows > number, window, windows[0])
        spread = torch.maximum(spread, values.index_select(axis, others.to(values.device)))
    if bool((n_windows == 0).any()):
        shape = [1] * values.ndim
        shape[axis] = len(n_windows)
        spread = spread.masked_fill((n_windows == 0).view(shape).to(values.device), 0.0)
    return spread
