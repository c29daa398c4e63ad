"""How alike the pictures of one objective are in a layer."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from lightning_factorlens.visualization.scores import channels_first


def alikeness(output: Tensor, axis: int, n_alike: int) -> Tensor:
    """Mean cosine between the Gram matrices of a picture's channels and those of its neighbours.

    Args:
        output: Output of the layer, shape (n, …); neighbours of ``n_alike`` have the same objective.
        axis: Axis of the channels.
        n_alike: Number of pictures of each objective, at least 2.

    Returns:
        Shape (n,).

    Example:
        >>> import torch
        >>> alikeness(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 1, 2).tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    maps = channels_first(output, axis)
    grams = functional.normalize((maps @ maps.mT).flatten(1), dim=1)
    groups = grams.unflatten(0, (-1, n_alike))
    cosines = groups @ groups.mT
    others = cosines.sum(2) - cosines.diagonal(dim1=1, dim2=2)
    return others.flatten() / (n_alike - 1)
