"""Groups of images by values of any kind: labels, predictions, metadata."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageGroups:
    """Which group each image belongs to.

    Attributes:
        values: The value of each group: numbers ascending, else words in the order of the alphabet; None, for images
            without a value, comes last.
        index: Position of each image's group, shape (N,).
        counts: Number of images in each group, shape (groups,).
        indicator: Shape (N, groups), float64: 1 where the image belongs to the group.
    """

    values: tuple[Hashable, ...]
    index: Tensor
    counts: Tensor
    indicator: Tensor


def group_images(argument: str, values: Sequence[Any] | Tensor, n_samples: int) -> ImageGroups:
    """Groups images by their values.

    Args:
        argument: Name of the argument, for the message.
        values: One value for each image: numbers, words, anything hashable. None and NaN are no value.
        n_samples: Number of images N.

    Returns:
        The groups.

    Raises:
        ValueError: Another number of values, or values that cannot be compared with each other.

    Example:
        >>> groups = group_images("labels", ["cat", "dog", None, "cat"], 4)
        >>> groups.values, groups.index.tolist(), groups.counts.tolist()
        (('cat', 'dog', None), [0, 1, 2, 0], [2, 1, 1])
    """
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    if len(found) != n_samples:
        raise ValueError(
            f"{argument}: found {len(found)} values for {n_samples} images; give one value for each image of the probe."
        )
    cleaned: list[Hashable] = []
    for value in found:
        if getattr(value, "ndim", None) == 0:  # tensors of one number are compared by identity
            value = value.item()
        if isinstance(value, Tensor) or not isinstance(value, Hashable):
            raise ValueError(
                f"{argument}: found {value!r}, which is not one value; give a number or a word for each image."
            )
        is_nan = isinstance(value, float) and math.isnan(value)
        cleaned.append(None if is_nan else value)
    distinct = sorted(set(cleaned), key=_order)
    position = {value: i for i, value in enumerate(distinct)}
    index = torch.tensor([position[value] for value in cleaned], dtype=torch.int64)
    indicator = torch.nn.functional.one_hot(index, len(distinct)).double()
    return ImageGroups(tuple(distinct), index, indicator.sum(0).long(), indicator)


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then other values by their text, then None."""
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, (int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)
