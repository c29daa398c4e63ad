"""Joins a block to a sample factor that is already fitted: argmin ‖X − W F‖ over W ≥ 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import hals_sweeps_, least_squares_
from lightning_factorlens.results import Block

#: Features that are processed at once, in float64.
CHUNK = 4096
#: Sweeps of coordinate descent before the columns whose zeros are known are solved exactly, and how often this is done.
SWEEPS = 10
MAX_ROUNDS = 20
#: Fraction of the largest entry of B below which a slope is no descent.
TOLERANCE = 1e-9
#: Fraction of the energy above which the difference of two sums of squares is precise: to at least nine digits.
PRECISE = 1e-6


def fold_in(block: Block, F: Tensor) -> tuple[Tensor, float, float]:
    """Fits the factor of a block to a fixed sample factor, in float64; every feature is fitted by itself.

    Args:
        block: Samples of shape (N, features); non-negative unless ``block.signed``.
        F: Shape (r, N).

    Returns:
        W, shape (features, r), float64: non-negative, or free for a signed block; ‖X − W F‖; and ‖X‖. A component whose
        row of F is zero has zeros in W.

    Example:
        >>> block = Block("relu", "activation", torch.tensor([[2.0, 0.0], [4.0, 3.0]]), (2,))
        >>> W, error, norm = fold_in(block, torch.eye(2))
        >>> W.round(decimals=4).tolist(), round(error, 4), round(norm**2, 4)
        ([[2.0, 4.0], [0.0, 3.0]], 0.0, 29.0)
    """
    F = F.double()
    G = F @ F.T
    n_features = block.samples.shape[1]
    W = F.new_zeros(len(F), n_features)
    error = 0.0
    energy = 0.0
    for start in range(0, n_features, CHUNK):
        columns = slice(start, start + CHUNK)
        samples = block.samples[:, columns].detach()
        X = samples.double()
        largest = 1.0
        if samples.dtype == torch.float64:  # the squares of very large or small values leave the range of float64
            largest = float(X.abs().max()) or 1.0
            X = X / largest
        B = F @ X
        part = solve_nnls(B, G, block.signed)
        W[:, columns] = part * largest
        part_energy = float(torch.linalg.vector_norm(X))
        # hypot does not overflow where the sum of the squares would.
        error = math.hypot(error, residual_norm(X, F, part, B, G, part_energy) * largest)
        energy = math.hypot(energy, part_energy * largest)
    return W.T, error, energy


def relative_error(error: float, energy: float) -> float:
    """‖X − W F‖ / ‖X‖; NaN for a block of zeros."""
    return error / energy if energy else math.nan


def residual_norm(X: Tensor, F: Tensor, W: Tensor, B: Tensor, G: Tensor, norm: float) -> float:
    """‖X − Wᵀ F‖ from B and G, without a product of the size of X, where that is precise.

    Args:
        X: Samples, shape (N, m), float64.
        F: Shape (r, N).
        W: Shape (r, m).
        B: F X, shape (r, m).
        G: F Fᵀ, shape (r, r).
        norm: ‖X‖.

    Example:
        >>> F, X = torch.eye(2).double(), torch.eye(2).double()
        >>> residual_norm(X, F, 0.5 * X, X, F, 2**0.5) ** 2
        0.5...
    """
    square = norm**2 + float((W * (G @ W - 2 * B)).sum())
    if square > PRECISE * norm**2:
        return math.sqrt(square)
    return float(torch.linalg.vector_norm(X - F.T @ W))


def solve_nnls(B: Tensor, G: Tensor, signed: bool = False) -> Tensor:
    """Returns argmin ½ tr(Wᵀ G W) − ⟨B, W⟩.

    Args:
        B: Linear term, shape (r, m), float64.
        G: Gram matrix, shape (r, r), float64.
        signed: Whether W may be negative.

    Returns:
        W, shape (r, m), non-negative unless ``signed``.

    Example:
        >>> G = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
        >>> solve_nnls(torch.tensor([[3.0], [-1.0]], dtype=torch.float64), G).tolist()
        [[1.5], [0.0]]
    """
    W = least_squares_(torch.empty_like(B), B, G, ridge=1e-12)
    W[G.diagonal() == 0] = 0
    if signed:
        return W
    W.clamp_(min=0)
    columns = torch.arange(B.shape[1], device=B.device)
    for _ in range(MAX_ROUNDS):
        b = B[:, columns]
        w = hals_sweeps_(W[:, columns], b, G, SWEEPS)
        exact, is_optimal = solve_on_support(w, b, G)
        W[:, columns] = torch.where(is_optimal, exact, step_towards(w, exact))
        columns = columns[~is_optimal]
        if not len(columns):
            break
    return W


def solve_on_support(W: Tensor, B: Tensor, G: Tensor) -> tuple[Tensor, Tensor]:
    """Solves every column for the components that are not zero in it, which coordinate descent only approaches.

    Args:
        W: Shape (r, m); its zeros say which components stay zero.
        B: See `solve_nnls`.
        G: See `solve_nnls`.

    Returns:
        The solution, shape (r, m), and which of its columns are the minimum over all W ≥ 0, shape (m,): those without
        negative values in which no zero component could lower the objective.

    Example:
        >>> G = torch.eye(2, dtype=torch.float64)
        >>> B = torch.tensor([[2.0, 2.0], [-1.0, 1.0]], dtype=torch.float64)
        >>> solution, is_optimal = solve_on_support(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), B, G)
        >>> solution.tolist(), is_optimal.tolist()
        ([[2.0, 2.0], [0.0, 0.0]], [True, False])
    """
    support = (W > 0).T
    identity = torch.eye(len(G), dtype=G.dtype, device=G.device)
    systems = torch.where(support[:, :, None] & support[:, None, :], G, identity)
    solution = torch.linalg.solve_ex(systems, B.T.where(support, 0.0))[0].T
    slope = G @ solution - B
    is_optimal = (slope >= -TOLERANCE * B.abs().amax(0)).all(0) & (solution >= 0).all(0)
    return solution, is_optimal


def step_towards(W: Tensor, target: Tensor) -> Tensor:
    """Moves every column towards a target until an entry becomes zero.

    The objective falls on the way, since the target is its minimum for the components that are not zero (Lawson and
    Hanson, 1974, "Solving least squares problems", chapter 23).

    Args:
        W: Shape (r, m), non-negative.
        target: Shape (r, m). Columns that are not finite, as singular systems give, are not approached.

    Returns:
        The columns, shape (r, m), non-negative.

    Example:
        >>> step_towards(torch.tensor([[1.0], [1.0]]), torch.tensor([[3.0], [-1.0]])).tolist()
        [[2.0], [0.0]]
    """
    ratios = torch.where(target < 0, W / (W - target), 1.0)
    length = ratios.amin(0)
    moved = (W + length * (target - W)).masked_fill((target < 0) & (ratios <= length), 0.0).clamp_min(0)
    return torch.where(target.isfinite().all(0), moved, W)
