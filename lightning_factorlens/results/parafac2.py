"""The result of a PARAFAC2 factorization, which is not a product W·F with a free W."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parafac2Factorization:
    """X_b ≈ Q_b H diag(S[b]) F with Q_bᵀ Q_b = I, for blocks of different numbers of features.

    Harshman (1972), "PARAFAC2: Mathematical and technical notes". Without ``nonnegative`` factors are determined up to
    their order, and up to a common sign of row k of F and column k of S or of H.

    Attributes:
        rank: r.
        F: Sample factor, shape (r, N), float64; its rows have unit norm, and come in descending order of Σ_b S[b]², in
            the units in which every block was weighted.
        H: Shape (r, r), with columns of unit norm.
        S: The s_b in each block's own units, shape (blocks, r).
        Q: For each block orthonormal columns, shape (features, r).
        sse: Σ (X_b − Q_b H diag(S[b]) F)², float64, shape (blocks,), unweighted.
        block_names: Names of the blocks, in the order of ``S``, ``Q`` and ``sse``.
        weights: Factor w_b of each block in the objective Σ w_b² ‖X_b − Q_b H diag(S[b]) F‖².
        objective: The objective as a fraction of Σ w_b² ‖X_b‖².
        history: The objective before every pass of the last stage; it never rises.
        status: Whether the fit converged and, if not, which option to change.
        shapes: For each block the shape of one sample's features.
        kept_features: For each block the indices of Q's rows among the features of that shape; None for all of them.
    """

    rank: int
    F: Tensor
    H: Tensor
    S: Tensor
    Q: tuple[Tensor, ...]
    sse: Tensor
    block_names: tuple[str, ...]
    weights: tuple[float, ...]
    objective: float
    history: tuple[float, ...]
    status: str
    shapes: tuple[tuple[int, ...], ...] = ()
    kept_features: tuple[Tensor | None, ...] = ()
