"""The factorisation that a PARAFAC2 fit ends with: Q_b and the errors from all features, in the units of the blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.factorization.parafac2_iterate import AcceleratedALS
from lightning_factorlens.factorization.parafac2_step import Parafac2State
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.results import Parafac2Factorization

#: Below this fraction of ‖A_j‖² the formula for the error loses its digits, and the residual is computed instead.
CANCELLATION_THRESHOLD = 1e-3
#: Features that are converted to float64 at once: so few that they stay in the processor's cache.
_CHUNK = 512


@dataclass
class _FinalSlice:
    """Q_b of one slice and its squared error in the weighted units."""

    Q: Tensor
    sse: float


def _final_slice(problem: CoupledProblem, b: int, M: Tensor) -> _FinalSlice:
    """Returns Q_b = U Vᵀ of A_b Mᵀ = U Σ Vᵀ, and ‖A_b − Q_b M‖² from all features.

    Args:
        problem: The problem.
        b: Index of the block.
        M: H diag(s_b) F in the weighted units, shape (r, N).
    """
    partition = problem.partition
    parts = [M.new_zeros(len(M), 0)]
    for samples in problem.blocks[b].samples.split(_CHUNK, 1):
        parts.append(M @ samples.to(M) * problem.omega[b])
    local = torch.cat(parts, 1).T
    products = partition.gather_blocks([b], [local.T.contiguous()])[0].T
    U, sigma, Vt = torch.linalg.svd(products, full_matrices=False)
    Q = U @ Vt
    energy = problem.block_energy[b] / problem.blocks[b].sampling_factor * problem.omega_given[b] ** 2
    sse = energy - 2 * float(sigma.sum()) + float(M.square().sum())
    if sse < CANCELLATION_THRESHOLD * energy:
        sse = _squared_residual(problem, b, partition.local_features(b, Q.T).T @ M)
    return _FinalSlice(Q, sse)


def _squared_residual(problem: CoupledProblem, b: int, model: Tensor) -> float:
    """Returns ‖A_b − model‖² for this process's features of the model, shape (features, N), over all processes."""
    total = model.new_zeros(1)
    for samples, rows in zip(problem.blocks[b].samples.split(_CHUNK, 1), model.split(_CHUNK)):
        total += (samples.to(model) * problem.omega[b] - rows.T).square().sum()
    return float(problem.partition.all_reduce_sum(total))


def parafac2_result(problem: CoupledProblem, state: Parafac2State, iteration: AcceleratedALS) -> Parafac2Factorization:
    """Computes Q_b and the errors from all features, and undoes the weighting of the blocks.

    Args:
        problem: The problem.
        state: The fitted factors, of one start.
        iteration: The iteration that fitted them, for its history and whether it has converged.

    Returns:
        The factorisation in the units of the blocks.
    """
    F, H, S = state.F[0], state.H[0], state.S[0]
    slices = []
    for b in range(len(problem.blocks)):
        slices.append(_final_slice(problem, b, (H * S[b]) @ F))
    weighted_sse = torch.tensor([part.sse for part in slices], dtype=torch.float64)
    omega = torch.tensor(problem.omega_given, dtype=torch.float64)
    safe_omega = torch.where(omega > 0, omega, 1.0)
    status = "converged"
    if not iteration.converged:
        status = f"stopped after {len(iteration.history)} passes before convergence; raise `max_iter`"
    return Parafac2Factorization(
        rank=len(F),
        F=F,
        H=H,
        S=S / safe_omega.to(S)[:, None],
        Q=tuple(part.Q for part in slices),
        sse=weighted_sse / safe_omega.square(),
        block_names=tuple(block.name for block in problem.blocks),
        weights=problem.weights,
        objective=float(weighted_sse.sum()),
        history=tuple(float(value[0]) for value in iteration.history),
        status=status,
        shapes=tuple(block.shape for block in problem.blocks),
        kept_features=tuple(block.kept_features for block in problem.blocks),
    )
