"""One pass of alternating least squares for PARAFAC2, from the Gram matrices of the slices, for several starts at once.

Kiers, ten Berge and Bro (1999), "PARAFAC2 — Part I. A direct fitting algorithm for the PARAFAC2 model": for fixed
M_j = H diag(s_j) F the best Q_j is the orthogonal polar factor of A_j M_jᵀ, and Q_jᵀ A_j = (M_j G_j M_jᵀ)^(−½) M_j G_j
needs only G_j = A_jᵀ A_j. As M_j G_j = H diag(s_j) (F G_j), one product F G_j per slice and pass suffices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import hals_sweeps_batched_

#: Sweeps over a non-negative F in each pass.
SWEEPS = 5
#: Updates of H, S and F for the same Q_j.
INNER_PASSES = 2
#: Eigenvalues of M_j G_j M_jᵀ up to this fraction of the largest are rounding.
ROUNDING = 1e-14
#: Weight of the distance from the last factors, as a fraction of the mean curvature: collinear factors have a solution.
PROXIMAL_WEIGHT = 1e-12


@dataclass(frozen=True)
class SliceGrams:
    """The Gram matrices G_j = A_jᵀ A_j of all slices, exact or restricted to a subspace of the samples.

    Attributes:
        grams: Shape (J, k, k), float64.
        basis: Orthonormal columns, shape (N, k), if the matrices are those of A_j ``basis``; None if k = N.
        energy: Σ_j ‖A_j‖².
    """

    grams: Tensor
    basis: Tensor | None
    energy: float

    def coordinates(self, F: Tensor) -> Tensor:
        """Returns F in the coordinates of the Gram matrices, shape (b, r, N) → (b, r, k)."""
        return F if self.basis is None else F @ self.basis

    def expand(self, rows: Tensor) -> Tensor:
        """Returns rows given in those coordinates, shape (b, r, k) → (b, r, N)."""
        return rows if self.basis is None else rows @ self.basis.T

    def times(self, coordinates: Tensor) -> Tensor:
        """Returns F G_j of every start and slice, shape (b, r, k) → (b, J, r, k)."""
        b, r, k = coordinates.shape
        products = coordinates.reshape(b * r, k) @ self.grams
        return products.view(-1, b, r, k).transpose(0, 1)


@dataclass(frozen=True)
class Parafac2State:
    """The factors of b starts.

    Attributes:
        F: Shape (b, r, N).
        H: Shape (b, r, r).
        S: The s_j, shape (b, J, r).
    """

    F: Tensor
    H: Tensor
    S: Tensor

    def where(self, condition: Tensor, other: Parafac2State) -> Parafac2State:
        """Returns these factors for the starts where ``condition``, shape (b,), is true, and the others elsewhere."""
        mask = condition[:, None, None]
        return Parafac2State(
            torch.where(mask, self.F, other.F),
            torch.where(mask, self.H, other.H),
            torch.where(mask, self.S, other.S),
        )

    def extrapolate(self, last: Parafac2State, weight: Tensor, nonnegative: bool) -> Parafac2State:
        """Returns the factors continued along the change from ``last``.

        Args:
            last: The factors before the last pass.
            weight: Multiple of the change, shape (b,).
            nonnegative: Whether negative entries of F are set to 0.
        """
        step = weight[:, None, None]
        F = self.F + step * (self.F - last.F)
        H = self.H + step * (self.H - last.H)
        S = self.S + step * (self.S - last.S)
        return Parafac2State(F.clamp_min(0) if nonnegative else F, H, S)

    def select(self, index: Tensor) -> Parafac2State:
        """Returns the factors of some starts."""
        return Parafac2State(self.F[index], self.H[index], self.S[index])


def als_pass(slices: SliceGrams, state: Parafac2State, nonnegative: bool) -> tuple[Parafac2State, Tensor]:
    """Updates all Q_j, then H, S and F; the objective never rises.

    Args:
        slices: The Gram matrices.
        state: The factors.
        nonnegative: Whether F is non-negative.

    Returns:
        The next factors, with rows of F and columns of H of unit norm; and Σ_j ‖A_j − Q_j H diag(s_j) F‖² of the
        factors **given**, at the best Q_j, shape (b,).
    """
    FG = slices.times(slices.coordinates(state.F))
    FGF = FG @ slices.coordinates(state.F)[:, None].mT
    F_gram = state.F @ state.F.mT
    HD = state.H[:, None] * state.S[:, :, None, :]
    polar, value = _project_slices(slices.energy, HD, FGF, F_gram)
    # Y_j = Q_jᵀ A_j = polar_j (F G_j), so that the products with it are small.
    F, H, S = state.F, state.H, state.S
    for inner in range(INNER_PASSES):
        if inner:
            FGF = FG @ slices.coordinates(F)[:, None].mT
            F_gram = F @ F.mT
        YF = polar @ FGF
        H = _solve(F_gram * (S.mT @ S), (YF * S[:, :, None, :]).sum(1).mT, H.mT).mT
        H_gram = H.mT @ H
        S = _solve(H_gram * F_gram, (H[:, None] * YF).sum(2).mT, S.mT).mT
        mixed = (H[:, None] * S[:, :, None, :]).mT @ polar
        # Σ_j mixed_j (F G_j) as one product of the matrices side by side.
        target = slices.expand(mixed.transpose(1, 2).flatten(2) @ FG.flatten(1, 2))
        F = _update_F(H_gram * (S.mT @ S), target, F, nonnegative)
    return _normalize(F, H, S), value


def _project_slices(energy: float, HD: Tensor, FGF: Tensor, F_gram: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (M_j G_j M_jᵀ)^(−½) H D_j, shape (b, J, r, r), and the objective at the best Q_j, shape (b,).

    The objective is Σ_j ‖A_j‖² − 2 ‖A_j M_jᵀ‖_* + ‖M_j‖². Directions that A_j M_jᵀ does not have are left out of Q_j;
    they change neither the objective nor the fact that no pass raises it.
    """
    MGM = HD @ FGF @ HD.mT
    values, vectors = torch.linalg.eigh((MGM + MGM.mT) / 2)
    is_kept = values > ROUNDING * values[..., -1:].clamp_min(torch.finfo(values.dtype).tiny)
    roots = values.clamp_min(0).sqrt()
    inverse_roots = torch.where(is_kept, 1 / roots.clamp_min(1e-150), 0.0)
    polar = (vectors * inverse_roots[..., None, :]) @ (vectors.mT @ HD)
    squares = ((HD @ F_gram[:, None]) * HD).sum((1, 2, 3))
    value = energy - 2 * (roots * is_kept).sum((1, 2)) + squares
    return polar, value.clamp_min(0)


def _solve(gram: Tensor, target: Tensor, last: Tensor) -> Tensor:
    """Returns argmin ½ tr(Xᵀ G X) − ⟨target, X⟩ with a small weight on the distance from ``last``."""
    gram, ridge = _with_ridge(gram)
    return torch.linalg.solve(gram, target + ridge * last)


def _update_F(gram: Tensor, target: Tensor, F: Tensor, nonnegative: bool) -> Tensor:
    if not nonnegative:
        return _solve(gram, target, F)
    gram, ridge = _with_ridge(gram)
    return hals_sweeps_batched_(F.clone(), target + ridge * F, gram, SWEEPS)


def _with_ridge(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Returns G + εI and ε, shape (b, 1, 1)."""
    gram = gram.clone()
    diagonal = gram.diagonal(dim1=1, dim2=2)
    ridge = PROXIMAL_WEIGHT * diagonal.mean(1, keepdim=True).clamp_min(1e-200)
    diagonal += ridge
    return gram, ridge[:, :, None]


def _normalize(F: Tensor, H: Tensor, S: Tensor) -> Parafac2State:
    """Moves the norms of the rows of F and of the columns of H into S; zero ones stay as they are."""
    F_norms = _norms_or_one(F, dim=2)
    H_norms = _norms_or_one(H, dim=1)
    scales = (F_norms * H_norms)[:, None, :]
    return Parafac2State(F / F_norms[:, :, None], H / H_norms[:, None, :], S * scales)


def _norms_or_one(factor: Tensor, dim: int) -> Tensor:
    norms = factor.square().sum(dim).sqrt()  # several times as fast as `vector_norm` where the matrices are small
    return torch.where(norms > 0, norms, 1.0)
