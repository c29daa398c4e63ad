"""The penalised objective of every group, and the forms in which solvers use a penalty."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.penalties import L2, Penalty
from lightning_factorlens.factorization.problem import CoupledProblem


def scaled_prox(penalty: Penalty | None, unit: float = 1.0) -> Callable[[Tensor, float], Tensor] | None:
    """Returns the proximal step of ``unit`` times a penalty, or None without a penalty."""
    if penalty is None:
        return None
    # v‖t‖² + unit·p(t) and (v / unit)‖t‖² + p(t) have the same minimum.
    return lambda t, v: penalty.prox_(t, v / unit)


def ridge_weight(penalty: Penalty | None) -> float:
    """Returns the ridge that a penalty on W adds to blocks with a signed factor.

    Only `L2` applies to a signed factor; other penalties leave such blocks out.
    """
    return penalty.weight if isinstance(penalty, L2) else 0.0


def objective(
    problem: CoupledProblem,
    groups: ComponentGroups,
    F: Tensor,
    W: Tensor,
    C: Tensor,
    V: Sequence[Tensor],
    penalties: tuple[Penalty | None, Penalty | None] = (None, None),
) -> Tensor:
    """Computes 1 − 2⟨C, F⟩ + ⟨V, F Fᵀ⟩ + penalties for each group.

    In float32 the absolute error is at most 6e-7.

    Args:
        problem: The problem, scaled such that W = 0 has the value 1.
        groups: The groups of components.
        F: Shape (R, N).
        W: Shape (R, m).
        C: W̃ X̃, shape (R, N).
        V: W̃ W̃ᵀ of each group, shape (r, r).
        penalties: On W and on F; the penalty on F is in the user's units, so it is divided by the energy.

    Returns:
        Shape (groups,), float64.
    """
    F64 = F.double()
    rows = -2 * (C * F64).sum(1)  # float64: C is promoted in the product
    rows += groups.quadratic_form(V, F64)
    value = (1 + groups.sums(rows)).clamp_min(0)
    return _with_penalties(value, problem, groups, F, W, penalties)


def objective_of_errors(
    problem: CoupledProblem,
    groups: ComponentGroups,
    F: Tensor,
    W: Tensor,
    sse: Tensor,
    penalties: tuple[Penalty | None, Penalty | None] = (None, None),
) -> Tensor:
    """Computes the objective from the errors of the blocks, which do not cancel where the error is small.

    Args:
        problem: The problem.
        groups: The groups of components.
        F: Shape (R, N).
        W: Shape (R, m), scaled by ω.
        sse: From `block_sse`, shape (groups, blocks).
        penalties: On W and on F, see `objective`.

    Returns:
        Σ_b ω_b² ‖X_b − W_b F‖² + penalties, shape (groups,), float64.
    """
    omega_sq = torch.tensor(problem.omega_given, dtype=torch.float64).square()
    value = (sse * omega_sq).sum(1).to(F.device)
    return _with_penalties(value, problem, groups, F, W, penalties)


def replace_by_zero_(
    problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor, sse: Tensor, value: Tensor
) -> None:
    """Sets F = W = 0, whose objective is 1, in place in every group whose penalised objective is larger.

    Args:
        problem: The problem.
        groups: The groups of components.
        F: Shape (R, N).
        W: Shape (R, m).
        sse: Shape (groups, blocks); becomes ‖X_b‖².
        value: From `objective_of_errors`, shape (groups,).
    """
    for k in torch.nonzero(value > 1).flatten().tolist():
        rows = groups.slices[k]
        F[rows] = 0
        W[rows] = 0
        for b, (energy, block) in enumerate(zip(problem.block_energy, problem.blocks)):
            sse[k, b] = energy / block.sampling_factor
        value[k] = 1


def _with_penalties(
    value: Tensor,
    problem: CoupledProblem,
    groups: ComponentGroups,
    F: Tensor,
    W: Tensor,
    penalties: tuple[Penalty | None, Penalty | None],
) -> Tensor:
    """Returns the value of each group plus its penalties."""
    W_penalty, F_penalty = penalties
    if W_penalty is not None:
        penalised = W if isinstance(W_penalty, L2) else _without_signed_columns(problem, W)
        value = value + groups.sums(problem.partition.all_reduce_sum(W_penalty.value(penalised)))
    if F_penalty is not None and problem.energy > 0:
        value = value + groups.sums(F_penalty.value(F)) / problem.energy
    return value


def _without_signed_columns(problem: CoupledProblem, W: Tensor) -> Tensor:
    """Returns W with zeros in the columns to which the penalty does not apply, see `ridge_weight`."""
    signed = problem.signed_columns()
    if not signed:
        return W
    W = W.clone()
    for columns in signed:
        W[:, columns] = 0
    return W
