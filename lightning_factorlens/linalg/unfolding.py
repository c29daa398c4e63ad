"""A layer's weight as matrices: the unfolding W1, and the channel slices that weightwatcher uses.

W1 is that of Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN
interpretability framework".
"""

from __future__ import annotations

from torch import Tensor


def unfold_weight(weight: Tensor, *, groups: int = 1, transposed: bool = False) -> Tensor:
    """Returns W1, the matrix whose rows are the flattened filters, and which is multiplied with the input's patches.

    ``W1[g] @ F.unfold(X_g)`` is the convolution of group g, for any stride, padding and dilation. For a transposed
    convolution the patches are those of the input with stride − 1 zeros inserted between its pixels.

    Args:
        weight: (d, c/groups, *k) of a convolution, (c, d/groups, *k) of a transposed one, (d, c) of a linear layer;
            any number of kernel axes.
        groups: Groups of the convolution. Each has its own c/groups channels and is therefore a matrix of its own.
        transposed: Whether the weight has the layout of ``ConvTranspose*``.

    Returns:
        Shape (groups, d/groups, c/groups·∏k), in the dtype of ``weight``. The columns are ordered by channel first,
        then by kernel tap.

    Raises:
        ValueError: If ``weight`` has fewer than two axes or its first axis is not a multiple of ``groups``.

    Example:
        >>> import torch
        >>> unfold_weight(torch.zeros(16, 4, 3, 3), groups=2).shape
        torch.Size([2, 8, 36])
    """
    _check_axes(weight)
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"groups must divide the first axis of weight: found groups={groups} and a weight of shape "
            f"{tuple(weight.shape)}"
        )
    # The groups are consecutive on the first axis: the outputs of a convolution, the inputs of a transposed one.
    per_group = weight.unflatten(0, (groups, weight.shape[0] // groups))
    if transposed:
        per_group = per_group.transpose(1, 2)
    return per_group.flatten(2)


def channel_slices(weight: Tensor, *, transposed: bool = False) -> Tensor:
    """Returns the ∏k matrices between channels, one per kernel tap, times √½, as weightwatcher 0.7.7 pools them.

    weightwatcher takes ``W[:, :, i, j]`` for every tap of a ``Conv2d`` and multiplies it by √½. A linear layer is one
    matrix without a factor. weightwatcher does not use groups (the slices of a grouped weight are d × c/groups), so
    this function has no such argument. weightwatcher skips transposed and 3d convolutions and does not slice 1d ones;
    this function applies the rule for ``Conv2d`` to all of them.

    Args:
        weight: As for :func:`unfold_weight`.
        transposed: Whether the first two axes are (in, out). It only changes the orientation of the slices.

    Returns:
        Shape (∏k, rows, columns), float64, because √½ rounded to a smaller dtype would change every eigenvalue;
        (1, d, c) for a linear layer.

    Raises:
        ValueError: If ``weight`` has fewer than two axes.

    Example:
        >>> import torch
        >>> channel_slices(torch.zeros(16, 4, 3, 3)).shape
        torch.Size([9, 16, 4])
    """
    _check_axes(weight)
    if weight.ndim == 2:
        return weight.double().unsqueeze(0)
    slices = weight.double().flatten(2).movedim(2, 0) * 0.5**0.5
    if transposed:
        return slices.mT
    return slices


def _check_axes(weight: Tensor) -> None:
    if weight.ndim < 2:
        raise ValueError(f"weight must have at least 2 axes (out, in, ...), found shape {tuple(weight.shape)}")
