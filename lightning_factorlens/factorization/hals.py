"""Alternating non-negative least squares by HALS sweeps, extrapolated on F, begun on sampled rows.

Cichocki and Phan (2009) for the sweeps; Ang and Gillis, "Accelerating nonnegative matrix factorization algorithms
using extrapolation" (2019) for the momentum, here on F alone, whose size does not depend on the features; Ding, Li
and Jordan (2010) for blocks with a signed factor (semi-NMF).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.factorization.evaluate import RowSums
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.normalize import normalize_rows_
from lightning_factorlens.factorization.penalties import Penalty
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import SolverResult, Stage, State, objective, ridge_weight, scaled_prox
from lightning_factorlens.linalg.nnls_dispatch import make_nnls_solver


@dataclass(frozen=True)
class HALS:
    """The default solver.

    Attributes:
        passes: Passes over all rows after those over sampled rows, the last one included.
        tol: A group rests when two passes in a row change its objective by less than this share.
        restarts: Starts on the first fit: NNDSVD and ``restarts − 1`` random ones.
        sample: Rows of the sampled stages; 0 works on all rows from the beginning.
        screen_passes: Passes after which the best start of each rank goes on alone.
        sample_passes: At most so many more passes over the sample.
        warm_passes: At most so many when there is a last result to go on from.
        sample_tol: ``tol`` of the sampled stages.
        momentum: First extrapolation weight; 0 switches extrapolation off, and every step then descends.
        sweeps: HALS sweeps a pass over (W, F).
        penalty_W: Penalty on every W̃_b.
        penalty_F: Penalty on F.
    """

    n_final_iter: int = 1
    tol: float = 1e-4
    n_init: int = 4
    n_sampled_rows: int = 4096
    screening_iter: int = 20
    max_iter: int = 150
    warm_max_iter: int = 10
    sample_tol: float = 1e-4
    momentum: float = 0.6
    sweeps: tuple[int, int] = (2, 2)
    penalty_W: Penalty | None = None
    penalty_F: Penalty | None = None

    def __post_init__(self) -> None:
        for name in ("n_final_iter", "n_init", "screening_iter", "max_iter", "warm_max_iter"):
            check_int(name, getattr(self, name), 1)
        check_int("sample", self.n_sampled_rows, 0)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: must lie in [0, 1), found {self.momentum!r}.")

    @property
    def _free(self) -> bool:
        """Whether the scale between W and F is free, so that rows of F can have unit norm."""
        return self.penalty_W is None and self.penalty_F is None

    @property
    def can_freeze(self) -> bool:
        """F is all that a group at rest leaves behind."""
        return True

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """Sampled rows first where that pays and no penalty forbids it; restarts only on a cold start."""
        sampled = bool(self.n_sampled_rows) and problem.features > 2 * self.n_sampled_rows and self._free
        sample, tol = self.n_sampled_rows if sampled else None, self.sample_tol
        full = [Stage(None, 1, self.n_final_iter - 1, self.tol)] if sampled and self.n_final_iter > 1 else []
        if warm:
            return [Stage(sample, 1, self.warm_max_iter, tol, "warm_max_iter"), *full]
        half = None if sample is None else max(1, sample // 2)  # enough to tell good starts from bad
        screen = [Stage(half, self.n_init, self.screening_iter, tol)] if self.n_init > 1 else []
        return [*screen, Stage(sample, 1, self.max_iter, tol, "max_iter"), *full]

    def init(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor | None = None) -> State:
        """W fitted to F, unless it is given."""
        F = F.clone()
        if self._free:
            normalize_rows_(F)
        B = problem.project(F)
        if W is None:
            W = torch.empty_like(B)
            self._start_W(groups, W, B, groups.grams(F), problem.signed_columns())
        K = len(groups)
        infinite = torch.full((K,), torch.inf, dtype=torch.float64, device=F.device)
        one, beta = torch.ones_like(infinite), torch.full_like(infinite, self.momentum)
        groups_memory = {"beta": beta, "beta_max": one, "beta_last": beta.clone()}
        return State(F, W, infinite, {"search": F.clone()}, groups_memory, B, fresh=True)

    def step(self, problem: CoupledProblem, groups: ComponentGroups, state: State) -> State:
        """W at the search point, F from there, then a look ahead along the last move of F."""
        search, W = state.rows["search"], state.W
        assert state.scratch is not None
        if not state.fresh:
            B = problem.project(search, out=state.scratch)
            self._update_W(groups, W, B, groups.grams(search), problem.signed_columns(), self.sweeps[0])
        C, V = problem.backproject(W), [problem.partition.all_reduce_sum(v) for v in groups.grams(W)]
        F = search.clone()
        prox_ = scaled_prox(self.penalty_F, 1 / (problem.energy or 1.0))
        make_nnls_solver(groups.sizes, V, prox_).improve_(F, C, self.sweeps[1])
        value = objective(problem, groups, F, W, C, V, (self.penalty_W, self.penalty_F))
        if self._free:
            normalize_rows_(F, W)
        return self._look_ahead(groups, state, F, W, value)

    def finish(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, state: State | None) -> SolverResult:
        """W is a function of F: fitted once more a few thousand rows at a time, then F from the sums over all rows."""
        G = groups.grams(F)
        W = problem.prototype.new_empty(F.shape[0], problem.m) if state is None else state.W
        sums = RowSums.zeros(problem, groups)
        for b, c, samples in problem.chunks():
            w, signed = W[:, c], [slice(None)] if problem.blocks[b].signed else []
            B = torch.mm(F, samples).mul_(problem.omega[b])
            if state is None:
                self._start_W(groups, w, B, G, signed)
            else:
                self._update_W(groups, w, B, G, signed, 3)
            sums.add_(groups, b, w, samples, problem.omega[b])
        C, V = sums.total(problem)
        F = F.clone()
        prox_ = scaled_prox(self.penalty_F, 1 / (problem.energy or 1.0))
        make_nnls_solver(groups.sizes, V, prox_).improve_(F, C, self.sweeps[1])
        value = objective(problem, groups, F, W, C, V, (self.penalty_W, self.penalty_F))
        return SolverResult(F, W, sums, value)

    def _start_W(self, groups: ComponentGroups, W: Tensor, B: Tensor, G: list[Tensor], signed: list[slice]) -> None:
        """W at its clipped least squares, then swept: from zero, rank 32 would end 5 % worse."""
        make_nnls_solver(groups.sizes, G).least_squares_(W, B, ridge=1e-5).clamp_(min=0)
        self._update_W(groups, W, B, G, signed, 4)

    def _update_W(
        self, groups: ComponentGroups, W: Tensor, B: Tensor, G: list[Tensor], signed: list[slice], sweeps: int
    ) -> None:
        """W in place for fixed F: sweeps where W must be non-negative, the exact solution where it is free."""
        ridge, exact = ridge_weight(self.penalty_W), []
        for c in signed:
            raised = [g + ridge * torch.eye(len(g), dtype=g.dtype, device=g.device) for g in G]
            make_nnls_solver(groups.sizes, raised).least_squares_(W[:, c], B[:, c])
            exact.append((c, W[:, c].clone()))
        make_nnls_solver(groups.sizes, G, scaled_prox(self.penalty_W)).improve_(W, B, sweeps)
        for c, w in exact:
            W[:, c] = w

    def _look_ahead(self, groups: ComponentGroups, state: State, F: Tensor, W: Tensor, value: Tensor) -> State:
        """Ang and Gillis: after a fall look further ahead next time, after a rise start from F and look less far."""
        beta, beta_max, beta_last = (state.groups[k] for k in ("beta", "beta_max", "beta_last"))
        if not self.momentum:
            return State(F, W, value, {"search": F.clone()}, state.groups, state.scratch)
        first, rose = torch.isinf(state.objective), value > state.objective
        fell = ~rose & ~first
        ahead = (F + groups.expand(beta * fell).to(F) * (F - state.F)).clamp_(min=0)
        memory = {
            "beta": torch.where(rose, beta / 1.5, torch.where(fell, torch.minimum(beta_max, 1.1 * beta), beta)),
            "beta_max": torch.where(rose, beta_last, torch.where(fell, (1.05 * beta_max).clamp_max(1), beta_max)),
            "beta_last": torch.where(fell, beta, beta_last),
        }
        if self._free:
            normalize_rows_(ahead)
        return State(F, W, value, {"search": ahead}, memory, state.scratch)
