"""The outputs of a layer by unit: which axis counts units, and which count positions."""

from __future__ import annotations

from torch import Tensor


def unit_maps(output: Tensor) -> Tensor:
    """A layer's output with its units on axis 1 and its positions behind them.

    Args:
        output: Shape (n, units); (n, tokens, units), as transformers have it; or (n, units, positions, …).

    Returns:
        A view of shape (n, units, …).

    Raises:
        ValueError: An output without an axis of units.

    Example:
        >>> import torch
        >>> unit_maps(torch.zeros(2, 5, 7)).shape, unit_maps(torch.zeros(2, 5, 7, 7)).shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5, 7, 7]))
    """
    if output.ndim < 2:
        raise ValueError(
            f"layer: its output has the shape {tuple(output.shape)} and no axis of units; choose another layer."
        )
    return output.transpose(1, 2) if output.ndim == 3 else output


def strongest_values(maps: Tensor) -> Tensor:
    """The largest value of every unit over the positions, shape (n, units).

    Args:
        maps: See `unit_maps`.
    """
    return maps.amax(tuple(range(2, maps.ndim))) if maps.ndim > 2 else maps.clone()
