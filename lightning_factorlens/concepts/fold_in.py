"""Joins a block to a sample factor that is already fitted: argmin ‖X − W F‖ over W ≥ 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import hals_sweeps_, least_squares_
from lightning_factorlens.results import Block

#: Features that are processed at once, in float64.
CHUNK = 4096
#: Sweeps between two tests of convergence, and the largest number of them.
SWEEPS = 10
MAX_SWEEPS = 500
#: The solution has converged when no entry has changed by more than this fraction of the largest one.
TOLERANCE = 1e-9


def fold_in(block: Block, F: Tensor) -> tuple[Tensor, float]:
    """Fits the factor of a block to a fixed sample factor, in float64.

    Args:
        block: Samples of shape (N, features); non-negative unless ``block.signed``.
        F: Shape (r, N).

    Returns:
        W, shape (features, r), float64: non-negative, or free for a signed block. And ‖X − W F‖ / ‖X‖, NaN for a block
        of zeros. A component whose row of F is zero has zeros in W.

    Example:
        >>> block = Block("relu", "activation", torch.tensor([[2.0, 0.0], [4.0, 3.0]]), (2,))
        >>> W, rel_error = fold_in(block, torch.eye(2))
        >>> W.round(decimals=4).tolist(), round(rel_error, 4)
        ([[2.0, 4.0], [0.0, 3.0]], 0.0)
    """
    F = F.double()
    G = F @ F.T
    n_features = block.samples.shape[1]
    W = F.new_zeros(len(F), n_features)
    error = 0.0
    energy = 0.0
    for start in range(0, n_features, CHUNK):
        columns = slice(start, start + CHUNK)
        X = block.samples[:, columns].detach().double()
        largest = float(X.abs().max()) or 1.0  # the squares of very large or small values leave the range of float64
        X = X / largest
        part = solve_nnls(F @ X, G, block.signed)
        W[:, columns] = part * largest
        # hypot does not overflow where the sum of the squares would.
        error = math.hypot(error, float(torch.linalg.vector_norm(X - F.T @ part)) * largest)
        energy = math.hypot(energy, float(torch.linalg.vector_norm(X)) * largest)
    return W.T, error / energy if energy else math.nan


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
    for _ in range(MAX_SWEEPS // SWEEPS):
        before = W.clone()
        hals_sweeps_(W, B, G, SWEEPS)
        if float((W - before).abs().max()) <= TOLERANCE * float(W.max()):
            break
    return W
