"""Multiplicative updates, the papers' own method (paper 001, eq. 3.2) and the reference for every other.

Lee and Seung, "Algorithms for non-negative matrix factorization" (2001); for blocks with a signed factor Ding, Li
and Jordan, "Convex and semi-nonnegative matrix factorizations" (2010), whose F update takes a square root.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.factorization.evaluate import row_sums
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.penalties import Penalty
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import SolverResult, Stage, State, objective, ridge_weight
from lightning_factorlens.linalg.nnls import least_squares_


@dataclass(frozen=True)
class MultiplicativeUpdates:
    """Slow and simple: never leaves the positive orthant, never rises.

    Attributes:
        passes: At most so many passes.
        tol: Stop when two passes in a row change every group's objective by less than this share.
        penalty_W: Penalty on every W̃_b.
        penalty_F: Penalty on F.
    """

    max_iter: int = 200
    tol: float = 1e-4
    penalty_W: Penalty | None = None
    penalty_F: Penalty | None = None

    @property
    def can_freeze(self) -> bool:
        """Its W cannot be had from F again."""
        return False

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """All rows, one start."""
        return [Stage(None, 1, self.max_iter, self.tol)]

    def init(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor | None = None) -> State:
        """From F alone, W starts at F X̃ᵀ; zeros are lifted, since a zero never leaves under this update."""
        if W is None:
            F = F.clamp_min(1e-2 * float(F.mean()) or 1.0)
            W = problem.project(F)
            floor = 1e-4 * W.abs().mean()
            kept = [W[:, c].clone() for c in problem.signed_columns()]
            W.clamp_(min=floor)
            for c, w in zip(problem.signed_columns(), kept):
                W[:, c] = w
        infinite = torch.full((len(groups),), torch.inf, dtype=torch.float64, device=F.device)
        return State(F.clone(), W.clone(), infinite)

    def step(self, problem: CoupledProblem, groups: ComponentGroups, state: State) -> State:
        """W ← W ∗ B / (G W + λ W), then F ← F ∗ C / (V F + λ F)."""
        F, W = state.F.clone(), state.W
        B = problem.project(F)
        signed, ridge = problem.signed_columns(), ridge_weight(self.penalty_W)
        for f, w, b in zip(groups.split(F), groups.split(W), groups.split(B)):
            G = f @ f.T
            _multiply_(w, b, G @ w, self.penalty_W, 1.0)
            for s in signed:
                least_squares_(w[:, s], b[:, s], G + ridge * torch.eye(len(G)).to(G))
        C, V = problem.backproject(W), [problem.partition.all_reduce_sum(v) for v in groups.grams(W)]
        for f, c, v in zip(groups.split(F), groups.split(C), V):
            if signed:
                up, down = c.clamp_min(0) + (-v).clamp_min(0) @ f, (-c).clamp_min(0) + v.clamp_min(0) @ f
                _multiply_(f, up, down, self.penalty_F, 1 / (problem.energy or 1.0), root=True)
            else:
                _multiply_(f, c, v @ f, self.penalty_F, 1 / (problem.energy or 1.0))
        value = objective(problem, groups, F, W, C, V, (self.penalty_W, self.penalty_F))
        return State(F, W, value)

    def finish(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, state: State | None) -> SolverResult:
        """The F and W it walked with."""
        assert state is not None  # no group is ever left out
        return SolverResult(F, state.W, row_sums(problem, groups, state.W), state.objective)


def _multiply_(T: Tensor, up: Tensor, down: Tensor, penalty: Penalty | None, unit: float, root: bool = False) -> None:
    """T ← T ∗ up / down in place; a denominator of zero is replaced by the smallest step above it."""
    if penalty is not None:
        down = down + unit * penalty.half_gradient(T)
    down = torch.where(down == 0, torch.finfo(torch.float32).eps, down)
    ratio = up / down
    T.mul_(ratio.sqrt() if root else ratio)
