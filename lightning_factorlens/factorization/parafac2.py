"""PARAFAC2: one sample factor for layers of different width, whose factors have the same inner products in every layer.

Harshman (1972), "PARAFAC2: Mathematical and technical notes"; Kiers, ten Berge and Bro (1999), "PARAFAC2 — Part I. A
direct fitting algorithm for the PARAFAC2 model". The fit needs of every slice only its N × N Gram matrix, so the cost
of a pass does not depend on the width of the layers. At the end Q_b is computed from all features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens._validation import check_bool, check_int, check_non_negative
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization.block_weights import Weighting
from lightning_factorlens.factorization.parafac2_iterate import AcceleratedALS, best_start, initial_state, restrict
from lightning_factorlens.factorization.parafac2_result import parafac2_result
from lightning_factorlens.factorization.parafac2_step import Parafac2State, SliceGrams
from lightning_factorlens.factorization.precision import full_precision
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.streaming import StreamedProblem
from lightning_factorlens.linalg.svd import row_products
from lightning_factorlens.results import Block, Parafac2Factorization


def parafac2(
    blocks: Sequence[Block],
    rank: int,
    *,
    nonnegative: bool = False,
    weighting: Weighting = "unit",
    start: Parafac2Factorization | None = None,
    n_init: int = 6,
    max_iter: int = 500,
    tol: float = 1e-6,
    seed: int = 0,
    device: torch.device | str | None = None,
    partition: Partition | None = None,
) -> Parafac2Factorization:
    """Fits X_b ≈ Q_b H diag(s_b) F with Q_bᵀ Q_b = I and one H and one F for all blocks.

    With four or more blocks the factors are usually unique up to order and sign, without any constraint on F.

    Args:
        blocks: Matrices of the same samples, signed or not, each with at least ``rank`` features.
        rank: Number of components.
        nonnegative: Whether F must be non-negative.
        weighting: See `CoupledProblem`.
        start: An earlier result with the same rank, number of samples and number of blocks, from which the fit
            continues; then there are no other starts.
        n_init: Number of starts, one from an SVD and the others random. All are fitted in one batch, in a subspace of
            the samples if there are many; the best one is continued with all samples.
        max_iter: Maximum number of passes of each stage.
        tol: The fit has converged when three passes in a row change its objective by less than this fraction.
        seed: Seed of the random starts; no global random state is read or changed.
        device: Device of the computation, if it is not that of the blocks, which stay where they are.
        partition: The features of every block that ``blocks`` hold; all of them unless given.

    Returns:
        The factors, on the device of the computation, with the Q of all features in every process.

    Raises:
        ValueError: No blocks, blocks of different N or with values that are NaN or infinite, a block with fewer
            features than ``rank``, a ``start`` that does not fit, or an option out of its range.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> samples = torch.rand(8, 2, generator=generator)
        >>> blocks = []
        >>> for width in (5, 30):
        ...     product = samples @ torch.rand(2, width, generator=generator)
        ...     blocks.append(Block(f"layer of {width}", "activation", product, (width,)))
        >>> result = parafac2(blocks, rank=2)
        >>> result.F.shape, result.H.shape, result.S.shape, result.Q[1].shape
        (torch.Size([2, 8]), torch.Size([2, 2]), torch.Size([2, 2]), torch.Size([30, 2]))
        >>> bool(result.objective < 1e-6)
        True
    """
    _check_options(rank, nonnegative, n_init, max_iter, tol)
    signed = [replace(block, signed=True) for block in blocks]
    with torch.no_grad(), full_precision():
        problem = (
            CoupledProblem(signed, weighting, partition)
            if device is None
            else StreamedProblem(signed, weighting, device, partition)
        )
        _check_widths(problem, rank)
        slices = _slice_grams(problem)
        if start is None:
            state = initial_state(slices, rank, n_init, nonnegative, seed)
            state = best_start(restrict(slices, rank), state, nonnegative, tol, max_iter)
        else:
            state = _state_of(start, problem, rank, nonnegative)
        iteration = AcceleratedALS(slices, nonnegative, tol)
        state = _ordered(iteration.run(state, max_iter))
        broadcast = problem.partition.broadcast
        state = Parafac2State(broadcast(state.F), broadcast(state.H), broadcast(state.S))
        return parafac2_result(problem, state, iteration)


def _check_options(rank: int, nonnegative: bool, n_init: int, max_iter: int, tol: float) -> None:
    check_int("rank", rank, 1)
    check_bool("nonnegative", nonnegative)
    check_int("n_init", n_init, 1)
    check_int("max_iter", max_iter, 1)
    check_non_negative("tol", tol)


def _check_widths(problem: CoupledProblem, rank: int) -> None:
    for block, features in zip(problem.blocks, problem.feature_counts):
        if features < rank:
            raise ValueError(
                f"rank: {rank} orthonormal columns need at least {rank} features, and block {block.name!r} has "
                f"{features}. Choose a rank of at most {min(problem.feature_counts)}, or leave the block out."
            )


def _slice_grams(problem: CoupledProblem) -> SliceGrams:
    """Returns the Gram matrices of all features, weighted such that Σ_j ‖A_j‖² is 1, or 0 if all blocks are zero."""
    grams = []
    for b in range(len(problem.blocks)):
        grams.append(_own_gram(problem, b))
    stacked = problem.partition.all_reduce_sum(torch.stack(grams))
    return SliceGrams(stacked, None, float(stacked.diagonal(dim1=1, dim2=2).sum()))


def _own_gram(problem: CoupledProblem, b: int) -> Tensor:
    """Returns this process's part of the Gram matrix of a block, of products that compute one half of it only."""
    gram = problem.prototype.new_zeros(problem.N, problem.N, dtype=torch.float64)
    for samples in problem.blocks[b].samples.split(problem.partition.chunk_size, 1):
        gram += row_products(samples.to(gram.device) * problem.omega[b])
    return gram


def _state_of(start: Parafac2Factorization, problem: CoupledProblem, rank: int, nonnegative: bool) -> Parafac2State:
    found = (tuple(start.F.shape), tuple(start.S.shape))
    expected = ((rank, problem.N), (len(problem.blocks), rank))
    if found != expected:
        raise ValueError(
            f"start: found F and S of the shapes {found}, this fit needs {expected}; give a result with the same rank, "
            "samples and blocks, or None."
        )
    F, H, S = (factor.to(problem.prototype.device, torch.float64) for factor in (start.F, start.H, start.S))
    omega = S.new_tensor(problem.omega_given)[:, None]
    return Parafac2State((F.clamp_min(0) if nonnegative else F)[None], H[None], (S * omega)[None])


def _ordered(state: Parafac2State) -> Parafac2State:
    """Returns the factors in descending order of their energy, with rows of F that have a sum of at least 0."""
    order = state.S[0].square().sum(0).argsort(descending=True)
    F, H, S = state.F[:, order], state.H[:, :, order], state.S[:, :, order]
    sign = torch.where(F.sum(2) < 0, -1.0, 1.0)
    return Parafac2State(F * sign[:, :, None], H * sign[:, None, :], S)
