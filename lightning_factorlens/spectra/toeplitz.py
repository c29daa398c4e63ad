"""W2, the matrix of a convolution on whole images, and its singular values.

Sedghi, Gupta and Long (2019), "The singular values of convolutional layers"; W̄₂ of Praggastis, Brown, Marrero,
Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN interpretability framework". With circular
padding the convolution is block diagonal in the frequencies. A stride s keeps every s-th output pixel, so the s
frequencies per axis that coincide on the coarser grid form one block, times 1/√s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_factorlens.linalg.svd import replace_nonfinite

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_MAX_DENSE_ENTRIES = 1 << 26  # half a GiB in float64
_BATCH_ENTRIES = 1 << 21  # complex entries of one SVD call


@torch.no_grad()
def circular_singular_values(
    weight: Tensor, size: Sequence[int], *, stride: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """Computes all singular values of the convolution of images of ``size`` with circular padding.

    The block of output frequency q consists of s^(−½) Ĥ(q + j·m/s) for j = 0 … s − 1 (per axis), side by side, with
    Ĥ(q) = Σ_t W[:, :, t] exp(2πi·q·t·dilation/m). Kernels larger than the image are wrapped.

    Args:
        weight: Shape (d, c/groups, *k). The weight of a transposed convolution gives the operator's transpose, which
            has the same singular values.
        size: Pixels on each axis of the input.
        stride: Stride, for all axes or per axis; must divide ``size``.
        dilation: Dilation, for all axes or per axis.
        groups: Groups of the convolution. Each is an operator; the values of all of them are returned.

    Returns:
        Shape (groups·∏(m/s)·min(d/groups, ∏s·c/groups),), ascending, float64. The matrix of d·∏(m/s) rows and c·∏m
        columns may have more singular values because of its shape; those are zero and left out. NaN, which come last,
        for a group whose weight holds NaN or infinity.

    Raises:
        ValueError: If an argument does not match the kernel's axes, or a stride does not divide the size.

    Example:
        >>> import torch
        >>> circular_singular_values(torch.tensor([[[1.0, -1.0]]]), (4,))  # differences of neighboring pixels
        tensor([0.0000, 1.4142, 1.4142, 2.0000], dtype=torch.float64)
    """
    axes = weight.ndim - 2
    m = _per_axis("size", size, axes)
    s = _per_axis("stride", stride, axes)
    gap = _per_axis("dilation", dilation, axes)
    if any(pixels % step for pixels, step in zip(m, s)):
        raise ValueError(f"stride must divide size, found stride {s} and size {m}: use a size that is a multiple")
    if weight.shape[0] % groups:
        raise ValueError(f"groups must divide the first axis of weight: found {groups} and {tuple(weight.shape)}")
    H = weight.double().unflatten(0, (groups, -1)).to(torch.complex128)
    for axis in range(axes):
        waves = _waves(weight.shape[2 + axis], gap[axis], m[axis], H.device)
        H = torch.tensordot(H, waves, dims=([3], [0]))  # replaces the first kernel axis by a last axis of frequencies
    blocks = _frequency_blocks(H, m, s)
    blocks_per_call = max(1, _BATCH_ENTRIES // max(1, blocks[0].numel()))
    blocks, finite = replace_nonfinite(blocks)
    values = torch.cat([torch.linalg.svdvals(part) for part in blocks.split(blocks_per_call)])
    values = values.where(finite[:, None], torch.nan)
    return (values.flatten() / math.prod(s) ** 0.5).sort().values


def _waves(taps: int, gap: int, pixels: int, device: torch.device) -> Tensor:
    """exp(2πi·q·t·gap/pixels) for every tap t and frequency q, shape (taps, pixels)."""
    t = torch.arange(taps, device=device) * gap
    q = torch.arange(pixels, device=device)
    # Integers modulo the number of pixels before the division, so that large angles lose no precision.
    angle = (torch.outer(t, q) % pixels).double() * (2 * math.pi / pixels)
    return torch.polar(torch.ones_like(angle), angle)


def _frequency_blocks(H: Tensor, m: Sequence[int], s: Sequence[int]) -> Tensor:
    """Reorders (groups, d, c, m …), with frequency j·m/s + q on each axis, into (groups·∏(m/s), d, c·∏s)."""
    n = []
    split_axes = []
    for pixels, step in zip(m, s):
        n.append(pixels // step)
        split_axes += [step, pixels // step]
    split = H.reshape(*H.shape[:3], *split_axes)
    axes = len(m)
    shifts = range(3, 3 + 2 * axes, 2)
    frequencies = range(4, 4 + 2 * axes, 2)
    return split.permute(0, *frequencies, 1, 2, *shifts).reshape(H.shape[0] * math.prod(n), H.shape[1], -1)


@torch.no_grad()
def dense_operator(
    weight: Tensor, size: Sequence[int], *, stride: int | Sequence[int] = 1, padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1, groups: int = 1, circular: bool = False,
) -> Tensor:  # fmt: skip
    """Computes W2 itself, for small images or zero padding: column by column, from images with a single 1.

    Args:
        weight: Shape (d, c/groups, *k), one to three kernel axes.
        size: Pixels on each axis of the input.
        stride: Stride, for all axes or per axis.
        padding: Zero padding on both sides, for all axes or per axis; must be 0 with ``circular``.
        dilation: Dilation, for all axes or per axis.
        groups: Groups of the convolution.
        circular: Whether the padding is circular, so that the output has the size of the input at stride 1.

    Returns:
        Shape (d·∏n, c·∏m), float64, with n output and m input pixels on each axis.

    Raises:
        ValueError: If an argument does not match the kernel's axes, or the matrix would have more than 2^26 entries.

    Example:
        >>> import torch
        >>> dense_operator(torch.tensor([[[1.0, -1.0]]]), (3,), circular=True)
        tensor([[ 1., -1.,  0.],
                [ 0.,  1., -1.],
                [-1.,  0.,  1.]], dtype=torch.float64)
    """
    axes = weight.ndim - 2
    m = _per_axis("size", size, axes)
    s = _per_axis("stride", stride, axes)
    gap = _per_axis("dilation", dilation, axes)
    pad = _per_axis("padding", padding, axes)
    if circular and any(pad):
        raise ValueError(f"padding must be 0 with circular=True, found {pad}: circular padding adds no pixels")
    c = weight.shape[1] * groups
    pixels = c * math.prod(m)
    outputs = weight.shape[0] * math.prod(side // step + 1 for side, step in zip(m, s))
    if pixels * outputs > _MAX_DENSE_ENTRIES:
        raise ValueError(
            f"size {m} with a weight of shape {tuple(weight.shape)} makes a matrix of up to {outputs} × {pixels}, "
            f"at most 2^26 entries are allowed: take circular_singular_values or a smaller size"
        )
    images = torch.eye(pixels, dtype=torch.float64, device=weight.device).view(pixels, c, *m)
    if circular:
        for axis in range(axes):
            # The taps reach (k − 1)·dilation pixels beyond the edge, which may exceed the size of the image.
            reach = (weight.shape[2 + axis] - 1) * gap[axis]
            wrapped = torch.arange(m[axis] + reach, device=weight.device) % m[axis]
            images = images.index_select(2 + axis, wrapped)
    convolve = _CONVOLUTIONS[axes - 1]
    return convolve(images, weight.double(), stride=s, padding=pad, dilation=gap, groups=groups).flatten(1).T


def _per_axis(name: str, value: int | Sequence[int], axes: int) -> list[int]:
    if not 1 <= axes <= 3:
        raise ValueError(f"weight must have 1 to 3 kernel axes, found {axes}: a linear layer is its own operator")
    values = [value] * axes if isinstance(value, int) else list(value)
    smallest = 1
    kind = "positive"
    if name == "padding":
        smallest = 0
        kind = "non-negative"
    if len(values) != axes or min(values) < smallest:
        raise ValueError(f"{name} must be {axes} {kind} whole numbers, found {value!r}")
    return values
