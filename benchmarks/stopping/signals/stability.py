"""What of a factorization is the same at two epochs, however its components are ordered, scaled or mixed.

A component of one epoch corresponds to no particular component of the next. What is compared is therefore the space
that the rows of F span, and the partition of the images by their largest component.
"""

from __future__ import annotations

import torch
from torch import Tensor


def subspace_overlap(before: Tensor, F: Tensor) -> float:
    """Mean cos² of the principal angles between the row spaces of two sample factors.

    Args:
        before: Sample factor of the earlier epoch, shape (r, N).
        F: Sample factor of this epoch and the same images, shape (s, N).

    Returns:
        From 0 (orthogonal) to 1 (the smaller space lies within the larger one); NaN where one factor is zero, or holds
        NaN or infinity.
    """
    if not before.isfinite().all() or not F.isfinite().all():
        return float("nan")
    P = _row_basis(before)
    Q = _row_basis(F)
    smaller = min(P.shape[1], Q.shape[1])
    return float((P.T @ Q).square().sum()) / smaller if smaller else float("nan")


def cluster_assignment(F: Tensor) -> Tensor:
    """The largest component of each image after scaling every component to unit norm: shape (N,), from F of (r, N)."""
    rows = F.double()
    return (rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)).argmax(0)


def adjusted_rand_index(a: Tensor, b: Tensor) -> float:
    """Agreement of two partitions, corrected for chance: Hubert and Arabie (1985), "Comparing partitions".

    Args:
        a: Integer labels of N images, shape (N,); only their equality counts.
        b: Labels of the other partition of the same images.

    Returns:
        1 for the same partition; 0 is expected of unrelated ones, and it may be negative.

    Raises:
        ValueError: The two label different numbers of images.
    """
    if a.shape != b.shape or a.ndim != 1:
        found = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"b: needs one label per image as a does, found shapes {found}.")
    first = a.unique(return_inverse=True)[1]
    second = b.unique(return_inverse=True)[1]
    width = int(second.max()) + 1
    table = torch.bincount(first * width + second, minlength=(int(first.max()) + 1) * width).view(-1, width).double()
    together = _pair_count(table)
    rows = _pair_count(table.sum(1))
    columns = _pair_count(table.sum(0))
    total = _pair_count(table.sum())
    if rows == columns and (rows == 0 or rows == total):  # both partitions are all singletons, or one single group
        return 1.0
    expected = rows * columns / total
    return (together - expected) / ((rows + columns) / 2 - expected)


def _pair_count(counts: Tensor) -> float:
    """The number of pairs within groups of these sizes."""
    return float((counts * (counts - 1)).sum() / 2)


def _row_basis(F: Tensor) -> Tensor:
    """Orthonormal columns that span the rows of F, shape (N, rank)."""
    _, sigma, vectors = torch.linalg.svd(F.double().cpu(), full_matrices=False)
    # Half-precision values are exact numbers too: with their eps the tolerance would exceed most singular values.
    eps = min(torch.finfo(F.dtype).eps, torch.finfo(torch.float32).eps)
    tolerance = max(F.shape) * eps * float(sigma[:1].sum())
    return vectors[sigma > tolerance].T
