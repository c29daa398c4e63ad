"""A layer's weight as matrices: the W1 unfolding of paper 002, and the channel slices of weightwatcher."""

from __future__ import annotations

from torch import Tensor


def unfold_weight(weight: Tensor, *, groups: int = 1, transposed: bool = False) -> Tensor:
    """W1, one flattened filter a row ("The SVD of Convolutional Weights"): the matrix that meets the patches.

    ``W1[g] @ F.unfold(X_g)`` is the convolution of group g, whatever stride, padding or dilation. A
    transposed convolution is the same product with patches of the input spread apart by the stride.

    Args:
        weight: (d, c/groups, *k) of a convolution, (c, d/groups, *k) of a transposed one, (d, c) of a linear
            layer; any number of kernel axes.
        groups: Groups of the convolution; each sees its own c/groups channels, so each is its own matrix.
        transposed: Whether the weight is laid out as ``ConvTranspose*`` does.

    Returns:
        Shape (groups, d/groups, c/groups·∏k), in the dtype of ``weight``; columns run over c first, then k.

    Raises:
        ValueError: If ``weight`` has fewer than two axes or its first axis is not a multiple of ``groups``.
    """
    _check(weight)
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"groups must divide the first axis of weight: found groups={groups} and a weight of shape "
            f"{tuple(weight.shape)}"
        )
    # Groups lie one behind the other on the first axis: outputs of a convolution, inputs of a transposed one.
    per_group = weight.unflatten(0, (groups, weight.shape[0] // groups))
    if transposed:
        per_group = per_group.transpose(1, 2)
    return per_group.flatten(2)


def channel_slices(weight: Tensor, *, transposed: bool = False) -> Tensor:
    """The ∏k matrices between channels, one a kernel tap, times √½, as weightwatcher 0.7.7 pools them.

    weightwatcher takes ``W[:, :, i, j]`` of every tap of a ``Conv2d`` and multiplies it by √½; a linear layer
    is one matrix as it stands. It never looks at groups (the slices of a grouped weight are d × c/groups), so
    there is no such argument here. It skips transposed and 3d convolutions and does not slice 1d ones; here
    they all follow the rule for ``Conv2d``.

    Args:
        weight: As for :func:`unfold_weight`.
        transposed: Whether the first two axes are (in, out); changes the slices' orientation alone.

    Returns:
        Shape (∏k, rows, columns), float64 (√½ rounded to the weight's dtype would move every eigenvalue);
        (1, d, c) for a linear layer.

    Raises:
        ValueError: If ``weight`` has fewer than two axes.
    """
    _check(weight)
    if weight.ndim == 2:
        return weight.double().unsqueeze(0)
    slices = weight.double().flatten(2).movedim(2, 0) * 0.5**0.5
    return slices.mT if transposed else slices


def _check(weight: Tensor) -> None:
    if weight.ndim < 2:
        raise ValueError(f"weight must have at least 2 axes (out, in, ...), found shape {tuple(weight.shape)}")
