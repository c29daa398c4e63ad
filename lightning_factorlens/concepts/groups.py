"""Groups of images by values of any kind: labels, predictions, metadata."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
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


def image_values(argument: str, values: Any, n_samples: int) -> list[Any]:
    """One value for each image, with numbers of NumPy and torch as Python's own.

    Args:
        argument: Name of the argument, for the message.
        values: A sequence, array, series or tensor.
        n_samples: Number of images N.

    Raises:
        ValueError: A single value, or another number of values.

    Example:
        >>> image_values("labels", [torch.tensor(1), None, "cat"], 3)
        [1, None, 'cat']
    """
    found = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        raise ValueError(
            f"{argument}: found {found!r}, which is one value; give a sequence of {n_samples}, one for each image."
        )
    listed = [plain_number(value) for value in found]
    if len(listed) != n_samples:
        raise ValueError(
            f"{argument}: found {len(listed)} values for {n_samples} images; give one value for each image of the "
            "probe."
        )
    return listed


def plain_number(value: Any) -> Any:
    """A number of NumPy or torch, which may be compared by its identity, as a Python number; anything else as it is.

    Example:
        >>> plain_number(torch.tensor(3)), plain_number("three")
        (3, 'three')
    """
    return value.item() if getattr(value, "ndim", None) == 0 else value


def group_images(argument: str, values: Sequence[Any] | Tensor, n_samples: int) -> ImageGroups:
    """Groups images by their values.

    Args:
        argument: Name of the argument, for the message.
        values: One value for each image: numbers, words, anything hashable. None and NaN are no value.
        n_samples: Number of images N.

    Returns:
        The groups.

    Raises:
        ValueError: A single value, another number of values, or values that are not hashable.

    Example:
        >>> groups = group_images("labels", ["cat", "dog", None, "cat"], 4)
        >>> groups.values, groups.index.tolist(), groups.counts.tolist()
        (('cat', 'dog', None), [0, 1, 2, 0], [2, 1, 1])
    """
    cleaned: list[Hashable] = []
    for value in image_values(argument, values, n_samples):
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
