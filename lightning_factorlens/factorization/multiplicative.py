"""Multiplicative updates, the method of Saini and Papalexakis (2021), to which other solvers are compared.

Saini and Papalexakis, "Analyzing representations inside convolutional neural networks", eq. 3.2, after Lee and Seung
(2001), "Algorithms for non-negative matrix factorization". Blocks with a signed factor follow Ding, Li and Jordan
(2010), "Convex and semi-nonnegative matrix factorizations", whose update of F takes a square root.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_non_negative
from lightning_factorlens.factorization.evaluate import row_sums
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.objective import objective, ridge_weight
from lightning_factorlens.factorization.penalties import Penalty, check_penalty
from lightning_factorlens.factorization.penalty_pairs import UnitBall
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.factorization.state import SolverResult, Stage, State
from lightning_factorlens.linalg.nnls import least_squares_


@dataclass(frozen=True)
class MultiplicativeUpdates(Solver):
    """A slow solver whose factors stay positive and whose objective never rises.

    Example:
        >>> MultiplicativeUpdates(max_iter=50).tol
        0.0001

    Attributes:
        max_iter: Maximum number of iterations.
        tol: The fit ends when two iterations in a row change every group's objective by less than this fraction.
        penalty_W: Penalty on every W̃_b.
        penalty_F: Penalty on F. With a penalty on one factor alone, the components of the other one have a norm of at
            most 1, since otherwise they would grow until the penalty had no effect.

    Raises:
        ValueError: A maximum number of iterations below 1, or a negative tolerance.
        TypeError: A penalty that is no penalty object.
    """

    max_iter: int = 200
    tol: float = 1e-4
    penalty_W: Penalty | None = None
    penalty_F: Penalty | None = None

    def __post_init__(self) -> None:
        check_int("max_iter", self.max_iter, 1)
        check_non_negative("tol", self.tol)
        check_penalty("penalty_W", self.penalty_W)
        check_penalty("penalty_F", self.penalty_F)

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """Returns one stage over all feature rows, with one initialization."""
        return [Stage(n_sampled_rows=None, n_init=1, max_iter=self.max_iter, tol=self.tol)]

    def init(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor | None = None) -> State:
        """Returns the state at F, with W = F X̃ᵀ unless given; zeros are raised, since they would remain zeros."""
        if W is None:
            F = F.clamp_min(1e-2 * float(F.mean()) or 1.0)
            W = problem.project(F)
            minimum = 1e-4 * W.abs().mean()
            signed = problem.signed_columns()
            signed_values = [W[:, columns].clone() for columns in signed]
            W.clamp_(min=minimum)
            for columns, values in zip(signed, signed_values):
                W[:, columns] = values
        infinite = torch.full((len(groups),), torch.inf, dtype=torch.float64, device=F.device)
        return State(F.clone(), W.clone(), infinite)

    def step(self, problem: CoupledProblem, groups: ComponentGroups, state: State) -> State:
        """Computes W ← W ∗ B / (G W + λ W), then F ← F ∗ C / (V F + λ F)."""
        F = state.F.clone()
        W = state.W
        self._update_W_(problem, groups, F, W)
        C = problem.backproject(W)
        V = list(map(problem.partition.all_reduce_sum, groups.grams(W)))
        self._update_F_(problem, groups, F, C, V)
        value = objective(problem, groups, F, W, C, V, self.penalties)
        return State(F, W, value)

    def finish(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, state: State | None) -> SolverResult:
        """Returns F and the W of the last state."""
        assert state is not None  # the only stage iterates over all rows and leaves out no group
        return SolverResult(F, state.W, row_sums(problem, groups, state.W), state.objective)

    def _update_W_(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor) -> None:
        B = problem.project(F)
        ridge = ridge_weight(self.penalties[0])
        for f, w, b in zip(groups.split(F), groups.split(W), groups.split(B)):
            G = f @ f.T
            _multiply_(w, b, G @ w, self.penalties[0], 1.0)
            for columns in problem.signed_columns():
                least_squares_(w[:, columns], b[:, columns], G + ridge * torch.eye(len(G)).to(G))

    def _update_F_(
        self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, C: Tensor, V: list[Tensor]
    ) -> None:
        is_signed = bool(problem.signed_columns())
        unit = 1 / (problem.energy or 1.0)
        for f, c, v in zip(groups.split(F), groups.split(C), V):
            if is_signed:
                numerator = c.clamp_min(0) + (-v).clamp_min(0) @ f
                denominator = (-c).clamp_min(0) + v.clamp_min(0) @ f
                _multiply_(f, numerator, denominator, self.penalties[1], unit, root=True)
            else:
                _multiply_(f, c, v @ f, self.penalties[1], unit)


def _multiply_(
    T: Tensor, numerator: Tensor, denominator: Tensor, penalty: Penalty | None, unit: float, root: bool = False
) -> None:
    """Computes T ← T ∗ numerator / denominator in place; a denominator of zero is replaced by a tiny number.

    Args:
        T: The factor.
        numerator: Shape of T.
        denominator: Shape of T, without the penalty's term.
        penalty: Penalty on T.
        unit: Factor of the penalty.
        root: Whether to take the square root of the ratio.
    """
    if penalty is not None:
        denominator = denominator + unit * penalty.half_gradient(T)
    denominator = torch.where(denominator == 0, torch.finfo(torch.float32).eps, denominator)
    if isinstance(penalty, UnitBall) and not root:
        denominator = denominator + penalty.ball_multiplier(T, numerator, denominator) * T
    ratio = numerator / denominator
    T.mul_(ratio.sqrt() if root else ratio)
    if isinstance(penalty, UnitBall):
        T.div_(torch.linalg.vector_norm(T, dim=1, keepdim=True).clamp_min(1))
