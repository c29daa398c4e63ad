"""Singular vectors of a layer's unfolded weight, by the eigenvectors of its smaller Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.linalg.svd import replace_nonfinite, row_products

#: Entries of a right singular vector this close to its largest one count as equally large, so that rounding does not
#: decide which of them comes first.
_TIE = 1e-6
#: Singular values count as equal within so many times what rounding W's entries can change: a weight that is meant to
#: be orthogonal has the errors of the QR decomposition that made it.
ROUNDING_STEPS = 8
#: Columns of the right singular vectors that are computed at once while their signs are chosen.
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class SingularVectors:
    """W = U diag(s) Vᵀ for every group of a layer.

    Attributes:
        matrix: A copy of W, shape (groups, d, n), in the weight's dtype; see `unfold_weight`.
        U: Left singular vectors, shape (groups, d, r) with r = min(d, n), float64. Those of singular values that count
            as zero are zero where d > n. All NaN for a group with NaN or infinity.
        s: Singular values, shape (groups, r), descending, float64.
    """

    matrix: Tensor
    U: Tensor
    s: Tensor

    @property
    def tolerance(self) -> Tensor:
        """What counts as zero, shape (groups,): s_max · max(d, n) · eps of the weight's dtype, at most that of float32.

        With the eps of bfloat16, all singular values of a weight with more than 128 columns would count as zero.
        """
        return self.s.amax(1) * (max(self.matrix.shape[1:]) * _eps(self.matrix))

    @property
    def rank(self) -> Tensor:
        """Number of singular values above the tolerance, shape (groups,); 0 for NaN."""
        return (self.s > self.tolerance[:, None]).sum(1)

    @property
    def subspace(self) -> Tensor:
        """Which singular values are equal up to rounding, shape (groups, r): a number from 0 for each subspace.

        The vectors of a subspace of more than one dimension are determined up to a rotation. Rounding W's entries moves
        a singular value by at most eps / 2 · ‖W‖_F ≤ eps / 2 · √r · s_max (Weyl); `ROUNDING_STEPS` allows for how W was
        computed. The tolerance of `rank` is far larger, and would join most of the values of a wide layer.
        """
        rounding = self.s.amax(1, keepdim=True) * (ROUNDING_STEPS * self.s.shape[1] ** 0.5 * _eps(self.matrix))
        steps = (self.s[:, :-1] - self.s[:, 1:]) > rounding
        first = torch.zeros_like(steps[:, :1]) if steps.shape[1] else steps.new_zeros(len(steps), 1)
        return torch.cat([first, steps], 1).cumsum(1)

    @property
    def Vt(self) -> Tensor:
        """Right singular vectors, shape (groups, r, n), float64; zero where the singular value counts as zero."""
        return self.right(self.matrix)

    def right(self, columns: Tensor) -> Tensor:
        """Some columns of `Vt`.

        Args:
            columns: Columns of `matrix`, shape (groups, d, k).

        Returns:
            Shape (groups, r, k), float64.
        """
        is_zero = self.s <= self.tolerance[:, None]
        inverse = (1 / self.s).masked_fill(is_zero, 0.0)
        return (self.U.mT @ columns.double()) * inverse[..., None]


@torch.no_grad()
def singular_vectors(matrix: Tensor) -> SingularVectors:
    """The singular values and left singular vectors of every group of a layer; the right ones follow when asked for.

    They come from the eigenvectors of W Wᵀ or Wᵀ W, whichever is smaller, in float64: singular values down to 1e-8 of
    the largest are then exact to the precision of a float32 weight. A weight in float64 is decomposed itself.

    The sign of a pair of singular vectors is arbitrary. Here the first entry of v whose magnitude is the largest is
    positive.

    Args:
        matrix: Shape (groups, d, n), from `unfold_weight`, in any floating dtype and on any device with float64.

    Returns:
        The singular vectors, with a copy of the matrix.

    Raises:
        ValueError: If ``matrix`` has not three axes or is empty.

    Example:
        >>> found = singular_vectors(torch.tensor([[[0.0, -2.0, 0.0], [1.0, 0.0, 0.0]]]))
        >>> found.s.tolist(), found.U[0, 0, 0].item()
        ([[2.0, 1.0]], -1.0)
        >>> torch.allclose(found.U @ found.s.diag_embed() @ found.Vt, found.matrix.double())
        True
    """
    if matrix.ndim != 3 or not matrix.numel():
        raise ValueError(
            f"matrix: must have shape (groups, d, n) with at least one entry, found {tuple(matrix.shape)}; pass the "
            "result of unfold_weight."
        )
    kept = matrix.detach().clone()
    W, finite = replace_nonfinite(kept.double())
    if matrix.dtype == torch.float64:
        U, s, _ = torch.linalg.svd(W, full_matrices=False)
    elif W.shape[1] <= W.shape[2]:
        eigenvalues, vectors = torch.linalg.eigh(row_products(W))
        s = eigenvalues.flip(1).clamp_min(0).sqrt()
        U = vectors.flip(2)
    else:
        eigenvalues, vectors = torch.linalg.eigh(row_products(W.mT.contiguous()))
        s = eigenvalues.flip(1).clamp_min(0).sqrt()
        U = _divide(W @ vectors.flip(2), s, max(W.shape[1:]) * _eps(kept))
    found = SingularVectors(kept, U, s)
    U = U * _signs(SingularVectors(W.to(kept.dtype), U, s))[:, None]
    s = found.s.masked_fill(~finite[:, None], torch.nan)
    return SingularVectors(kept, U.masked_fill(~finite[:, None, None], torch.nan), s)


def _eps(matrix: Tensor) -> float:
    return torch.finfo(torch.float64 if matrix.dtype == torch.float64 else torch.float32).eps


def _divide(products: Tensor, s: Tensor, relative_tolerance: float) -> Tensor:
    """W V / s, zero where s counts as zero."""
    is_zero = s <= s.amax(1, keepdim=True) * relative_tolerance
    return products * (1 / s).masked_fill(is_zero, 0.0)[:, None]


def _signs(vectors: SingularVectors) -> Tensor:
    """The signs that make the first largest entry of every right singular vector positive, shape (groups, r)."""
    largest = torch.zeros_like(vectors.s)
    signs = torch.ones_like(vectors.s)
    for columns in vectors.matrix.split(_CHUNK, 2):
        right = vectors.right(columns)
        magnitudes = right.abs()
        highest = magnitudes.amax(2)
        first = (magnitudes >= highest[..., None] * (1 - _TIE)).long().argmax(2, keepdim=True)
        is_larger = highest * (1 - _TIE) > largest
        signs = torch.where(is_larger, right.gather(2, first)[..., 0].sign(), signs)
        largest = torch.where(is_larger, highest, largest)
    return signs
