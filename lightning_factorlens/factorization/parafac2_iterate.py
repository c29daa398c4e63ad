"""The iterations of a PARAFAC2 fit: extrapolation with a return to the last point, and the starts of a fit."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.factorization.parafac2_step import Parafac2State, SliceGrams, als_pass
from lightning_factorlens.linalg.svd import leading_eigenvectors

#: A start has converged after so many passes in a row that change its objective by less than the tolerance.
PATIENCE = 3
#: First weight of the extrapolation, its growth after a success, its divisor after a failure, and its maximum.
FIRST_WEIGHT = 0.5
GROWTH = 1.2
DIVISOR = 2.0
MAX_WEIGHT = 1.0
#: Changes up to this fraction of Σ ‖A_j‖² are rounding.
ROUNDING = 1e-14
#: Passes after which only the best starts are continued, and their number.
SCREENING_PASSES = 50
CONTINUED_STARTS = 3
#: Tolerance of the last passes in the subspace, as a fraction of that of the fit: passes with all samples cost more.
SUBSPACE_TOLERANCE = 0.3
#: Columns of the subspace of the first stage for each component, and the minimum number of them.
COLUMNS_PER_COMPONENT = 4
MIN_COLUMNS = 48
#: Minimum ratio of the number of samples to the columns for which the first stage uses a subspace.
MIN_RATIO = 2


class AcceleratedALS:
    """Passes of alternating least squares from extrapolated points, for several starts at once.

    After every pass the factors are continued along their last change, by a weight of each start's own. Where the
    objective at the new point is above that of the last one, the next pass begins at the factors without extrapolation,
    whose objective is not (Ang and Gillis 2019, "Accelerating nonnegative matrix factorization algorithms using
    extrapolation"; Mitchell, Ye and De Sterck 2020, "Nesterov acceleration of alternating least squares for canonical
    tensor decomposition"). So the sequence of accepted objectives never rises.

    Args:
        slices: The Gram matrices of the slices.
        nonnegative: Whether F is non-negative.
        tol: A start has converged when `PATIENCE` passes in a row change its objective by less than this fraction.

    Attributes:
        history: The accepted objective of every start before every pass, each of shape (b,).
        converged: Whether every start has converged.
    """

    def __init__(self, slices: SliceGrams, nonnegative: bool, tol: float) -> None:
        self.slices = slices
        self.nonnegative = nonnegative
        self.tol = tol
        self.history: list[Tensor] = []
        self.converged = False

    def run(self, state: Parafac2State, max_iter: int) -> Parafac2State:
        """Iterates until every start has converged, at most ``max_iter`` times; returns the last factors."""
        # The first pass finds the scale of the factors; an extrapolation of that change ends in poor local minima.
        state = als_pass(self.slices, state, self.nonnegative)[0]
        point, last = state, state
        value = state.F.new_full((len(state.F),), torch.inf)
        weight = torch.full_like(value, FIRST_WEIGHT)
        n_unchanged = torch.zeros_like(value, dtype=torch.long)
        for _ in range(max_iter):
            updated, found = als_pass(self.slices, point, self.nonnegative)
            accepted = found <= value
            is_small = (found - value).abs() <= self.tol * found + ROUNDING * self.slices.energy
            n_unchanged = torch.where(is_small, n_unchanged + 1, torch.where(accepted, 0, n_unchanged))
            value = torch.minimum(value, found)
            self.history.append(value)
            self.converged = bool((n_unchanged >= PATIENCE).all())
            last = state.where(accepted, last)
            state = updated.where(accepted, state)
            if self.converged:
                break
            weight = torch.where(accepted, (weight * GROWTH).clamp_max(MAX_WEIGHT), weight / DIVISOR)
            point = state.extrapolate(last, weight, self.nonnegative).where(accepted, state)
        return state


def restrict(slices: SliceGrams, rank: int) -> SliceGrams:
    """Returns the slices in the subspace of the samples in which they mainly lie, or themselves if it saves no time.

    Args:
        slices: Exact Gram matrices, shape (J, N, N).
        rank: Number of components.
    """
    N = slices.grams.shape[-1]
    width = max(MIN_COLUMNS, COLUMNS_PER_COMPONENT * rank)
    if width * MIN_RATIO > N:
        return slices
    basis = leading_eigenvectors(slices.grams.sum(0), width)
    return SliceGrams(basis.T @ slices.grams @ basis, basis, slices.energy)


def initial_state(slices: SliceGrams, rank: int, n_init: int, nonnegative: bool, seed: int) -> Parafac2State:
    """Returns the starts of a fit: one from the leading eigenvectors of Σ_j G_j, the others random.

    Args:
        slices: Exact Gram matrices.
        rank: Number of components.
        n_init: Number of starts.
        nonnegative: Whether F is non-negative.
        seed: Seed of the random ones, and of the components above N. Cubes of uniform values have a common direction
            and few large entries, from which more starts end in the global minimum than from normal or uniform ones.
    """
    J, N = slices.grams.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    F = torch.rand(n_init, rank, N, generator=generator, dtype=torch.float64).pow(3).to(slices.grams)
    n_known = min(rank, N)
    vectors = leading_eigenvectors(slices.grams.sum(0), n_known).T
    F[0, :n_known] = vectors.abs() if nonnegative else vectors
    F = torch.nn.functional.normalize(F, dim=2)
    H = torch.eye(rank).to(F).expand(n_init, rank, rank)
    slice_norms = slices.grams.diagonal(dim1=1, dim2=2).sum(1).sqrt()
    S = slice_norms[None, :, None].expand(n_init, J, rank)
    return Parafac2State(F, H, S)


def best_start(slices: SliceGrams, state: Parafac2State, nonnegative: bool, tol: float, max_iter: int) -> Parafac2State:
    """Fits several starts: all of them for some passes, the best of those until they have converged, and one further.

    Args:
        slices: The Gram matrices.
        state: The starts.
        nonnegative: Whether F is non-negative.
        tol: See `AcceleratedALS`.
        max_iter: Maximum number of passes after the first ones.

    Returns:
        The best one, as a batch of one.
    """
    with_basis = slices
    if not nonnegative:  # then F stays in the subspace, and has as few columns as the Gram matrices
        slices = replace(with_basis, basis=None)
        state = replace(state, F=with_basis.coordinates(state.F))
    for n_kept, n_passes in ((CONTINUED_STARTS, SCREENING_PASSES), (1, max_iter)):
        if len(state.F) > n_kept or n_kept == 1:
            iteration = AcceleratedALS(slices, nonnegative, tol)
            state = iteration.run(state, n_passes)
            state = state.select(iteration.history[-1].argsort(stable=True)[:n_kept])
    if with_basis.basis is not None:
        state = AcceleratedALS(slices, nonnegative, tol * SUBSPACE_TOLERANCE).run(state, max_iter)
    return state if nonnegative else replace(state, F=with_basis.expand(state.F))
