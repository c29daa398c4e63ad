"""W2, a convolution as one matrix over whole images: its singular values, by Fourier where the padding is circular.

Sedghi, Gupta and Long (2019), "The Singular Values of Convolutional Layers"; W̄₂ of "The SVD of Convolutional
Weights". A circular convolution is block diagonal over frequencies. With a stride s the outputs keep every s-th
pixel, so that the s frequencies (an axis) that look alike on the coarse grid meet in one block, times 1/√s.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_DENSE_LIMIT = 1 << 26  # entries: half a GiB in float64
_BATCH = 1 << 21  # complex entries of one SVD call


@torch.no_grad()
def circular_singular_values(
    weight: Tensor, size: Sequence[int], *, stride: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """All singular values of the convolution of images of ``size`` with circular padding, kernel taps wrapping round.

    Block of output frequency q, for every shift j = 0 … s − 1 (an axis): s^(−½) Ĥ(q + j·m/s), side by side, with
    Ĥ(q) = Σ_t W[:, :, t] exp(2πi·q·t·dilation/m).

    Args:
        weight: Shape (d, c/groups, *k). A transposed convolution's own weight gives its transpose, and so its values.
        size: Pixels on each axis of the input.
        stride: Of each axis; must divide ``size``.
        dilation: Of each axis.
        groups: Each is an operator of its own; all their values are returned.

    Returns:
        Shape (groups·∏(m/s)·min(d/groups, ∏s·c/groups),), ascending, float64: all but the zeros that a matrix of
        d·∏(m/s) rows and c·∏m columns has for its shape.

    Raises:
        ValueError: If an argument does not fit the kernel's axes, or a stride does not divide the size.
    """
    axes = weight.ndim - 2
    m, s, gap = _per_axis("size", size, axes), _per_axis("stride", stride, axes), _per_axis("dilation", dilation, axes)
    if any(a % b for a, b in zip(m, s)):
        raise ValueError(f"stride must divide size, found stride {s} and size {m}: ask for another size")
    if weight.shape[0] % groups:
        raise ValueError(f"groups must divide the first axis of weight: found {groups} and {tuple(weight.shape)}")
    n = [a // b for a, b in zip(m, s)]
    H = weight.double().unflatten(0, (groups, -1)).to(torch.complex128)
    for axis in range(axes):
        t = torch.arange(weight.shape[2 + axis], device=H.device) * gap[axis]
        q = torch.arange(m[axis], device=H.device)
        # Whole numbers modulo m before the division: no angle loses digits.
        angle = (torch.outer(t, q) % m[axis]).double() * (2 * math.pi / m[axis])
        waves = torch.polar(torch.ones_like(angle), angle)
        H = torch.tensordot(H, waves, dims=([3], [0]))  # takes the first kernel axis left, appends its frequencies
    # (groups, d, c, s·n, s·n …) → (groups, n, n …, d, c·s·s …), frequency j·n + q on each axis
    H = H.reshape(*H.shape[:3], *itertools.chain(*zip(s, n)))
    shifts, frequencies = range(3, 3 + 2 * axes, 2), range(4, 4 + 2 * axes, 2)
    blocks = H.permute(0, *frequencies, 1, 2, *shifts).reshape(groups * math.prod(n), H.shape[1], -1)
    values = [torch.linalg.svdvals(part) for part in blocks.split(max(1, _BATCH // max(1, blocks[0].numel())))]
    return (torch.cat(values).flatten() / math.prod(s) ** 0.5).sort().values


@torch.no_grad()
def dense_operator(
    weight: Tensor, size: Sequence[int], *, stride: int | Sequence[int] = 1, padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1, groups: int = 1, circular: bool = False,
) -> Tensor:  # fmt: skip
    """W2 itself, column by column from the images with a single 1: for tiny cases and for zero padding.

    Args:
        weight: Shape (d, c/groups, *k), one to three kernel axes.
        size: Pixels on each axis of the input.
        stride: Of each axis.
        padding: Of each axis, both sides, with zeros; not with ``circular``.
        dilation: Of each axis.
        groups: Of the convolution.
        circular: Whether the image wraps round, which keeps its size (at stride 1).

    Returns:
        Shape (d·∏n, c·∏m), float64.

    Raises:
        ValueError: If an argument does not fit the kernel's axes, or the matrix would pass 2^26 entries.
    """
    axes = weight.ndim - 2
    m, s, gap = _per_axis("size", size, axes), _per_axis("stride", stride, axes), _per_axis("dilation", dilation, axes)
    pad = _per_axis("padding", padding, axes)
    if circular and any(pad):
        raise ValueError(f"padding must be 0 with circular=True, found {pad}: the image wraps round by itself")
    c = weight.shape[1] * groups
    pixels, outputs = c * math.prod(m), weight.shape[0] * math.prod(a // b + 1 for a, b in zip(m, s))
    if pixels * outputs > _DENSE_LIMIT:
        raise ValueError(
            f"size {m} with a weight of shape {tuple(weight.shape)} makes a matrix of up to {outputs} × {pixels}, "
            f"at most 2^26 entries are allowed: take circular_singular_values or a smaller size"
        )
    images = torch.eye(pixels, dtype=torch.float64, device=weight.device).view(pixels, c, *m)
    for axis in range(axes) if circular else ():
        # Taps reach (k − 1)·dilation pixels ahead, possibly several times round.
        reach = torch.arange(m[axis] + (weight.shape[2 + axis] - 1) * gap[axis], device=weight.device) % m[axis]
        images = images.index_select(2 + axis, reach)
    convolve = _CONVOLUTIONS[axes - 1]
    return convolve(images, weight.double(), stride=s, padding=pad, dilation=gap, groups=groups).flatten(1).T


def _per_axis(name: str, value: int | Sequence[int], axes: int) -> list[int]:
    if not 1 <= axes <= 3:
        raise ValueError(f"weight must have 1 to 3 kernel axes, found {axes}: a linear layer is its own operator")
    values = [value] * axes if isinstance(value, int) else list(value)
    if len(values) != axes or any(v < (name != "padding") for v in values):
        raise ValueError(f"{name} must be {axes} positive whole numbers, found {value!r}")
    return values
