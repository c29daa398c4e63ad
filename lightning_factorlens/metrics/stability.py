"""How much of a factorisation is the same at two looks, however its components are ordered, scaled or mixed.

A component of one look is none in particular at the next; so what is compared is the space that the rows of F span, and
the partition of the images that the largest component of each makes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def subspace_overlap(before: Tensor, F: Tensor) -> float:
    """Mean cos² of the principal angles between the row spaces of two sample factors.

    Args:
        before: Shape (r, N), of the earlier look.
        F: Shape (s, N), of this look and the same images.

    Returns:
        From 0 (orthogonal) to 1 (the smaller space lies within the larger); NaN where one is zero.
    """
    P, Q = _row_basis(before), _row_basis(F)
    smaller = min(P.shape[1], Q.shape[1])
    return float((P.T @ Q).square().sum()) / smaller if smaller else float("nan")


def cluster_assignment(F: Tensor) -> Tensor:
    """For each image its largest component, every component scaled to unit norm: shape (N,), from F of (r, N)."""
    return (F / F.norm(dim=1, keepdim=True).clamp_min(torch.finfo(F.dtype).tiny)).argmax(0)


def adjusted_rand_index(a: Tensor, b: Tensor) -> float:
    """Agreement of two partitions, corrected for chance (Hubert and Arabie 1985).

    Args:
        a: Labels of N images, whole numbers, shape (N,); names do not matter.
        b: The other partition of the same images.

    Returns:
        1 for the same partition, 0 expected of unrelated ones; it may be negative.

    Raises:
        ValueError: Not the same number of images.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"b: needs one label an image as a does, found shapes {tuple(a.shape)} and {tuple(b.shape)}.")
    first, second = a.unique(return_inverse=True)[1], b.unique(return_inverse=True)[1]
    width = int(second.max()) + 1
    table = torch.bincount(first * width + second, minlength=(int(first.max()) + 1) * width).view(-1, width).double()
    together = _pairs(table)
    rows, columns, total = _pairs(table.sum(1)), _pairs(table.sum(0)), _pairs(table.sum())
    if rows == columns and (rows == 0 or rows == total):  # all apart or all together, in both
        return 1.0
    expected = rows * columns / total
    return (together - expected) / ((rows + columns) / 2 - expected)


def _pairs(counts: Tensor) -> float:
    """Pairs within groups of these sizes."""
    return float((counts * (counts - 1)).sum() / 2)


def _row_basis(F: Tensor) -> Tensor:
    """Orthonormal columns that span the rows of F, shape (N, rank)."""
    _, sigma, vectors = torch.linalg.svd(F.double().cpu(), full_matrices=False)
    tolerance = max(F.shape) * torch.finfo(F.dtype).eps * float(sigma[:1].sum())
    return vectors[sigma > tolerance].T
