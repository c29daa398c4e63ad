"""Sample factors along a path of group-sparsity penalties."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SparsityPath:
    """The minima of Σ_b ω_b² ‖X_b − W_b F‖² + λ Σ_k ‖w_k‖ ‖f_k‖ for ascending λ.

    w_k is column k of all W_b together, weighted by ω_b, and f_k row k of F. A component that has become zero stays
    zero for all larger λ.

    Attributes:
        rank: Number of components before any is zero.
        lambdas: λ as fractions of ``lambda_max``, ascending.
        lambda_max: The smallest λ at which zero factors are the minimum, as the weight of a `GroupLasso` on F.
        n_components: For each λ the number of components that are not zero.
        F: For each λ the sample factor at ‖w_k‖ = 1, shape (rank, N), with rows of zeros.
        objective: For each λ the objective as a fraction of Σ_b ω_b² ‖X_b‖². It is an estimate if the path was
            computed on sampled features.
        history: For each λ the objective after every pass; it never rises.
    """

    rank: int
    lambdas: tuple[float, ...]
    lambda_max: float
    n_components: tuple[int, ...]
    F: tuple[Tensor, ...]
    objective: tuple[float, ...]
    history: tuple[tuple[float, ...], ...]
