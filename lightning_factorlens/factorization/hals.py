"""Alternating non-negative least squares by HALS sweeps, with extrapolation of F and first stages on sampled rows.

Cichocki and Phan (2009), "Fast local algorithms for large scale nonnegative matrix and tensor factorizations", for the
sweeps; Ang and Gillis (2019), "Accelerating nonnegative matrix factorization algorithms using extrapolation", for the
momentum, here of F alone, whose size does not depend on the number of features; Ding, Li and Jordan (2010), "Convex
and semi-nonnegative matrix factorizations", for blocks with a signed factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_non_negative, is_number
from lightning_factorlens.factorization.evaluate import RowSums, row_sums
from lightning_factorlens.factorization.factor_update import initialize_W_, update_W_
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.normalize import normalize_rows_
from lightning_factorlens.factorization.objective import objective, scaled_prox
from lightning_factorlens.factorization.penalties import Penalty, check_penalty
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.factorization.state import SolverResult, Stage, State
from lightning_factorlens.linalg.nnls_dispatch import make_nnls_solver

#: Sweeps over W in the last iteration, if W is known from the one before.
FINAL_SWEEPS = 3
#: Fall of the objective in a stage that starts from an earlier result, above which the fit starts anew. Between epochs
#: of a training it is below 0.7 %; above 10 % the errors were up to 20 % larger than those of a fit without start.
MAX_FALL = 0.03


@dataclass(frozen=True)
class HALS(Solver):
    """The default solver.

    Example:
        >>> HALS(n_init=2, max_iter=50).n_init
        2

    Attributes:
        n_final_iter: Iterations over all feature rows after those over sampled rows, including the last one.
        tol: A group has converged when two iterations in a row change its objective by less than this fraction.
        n_init: Initializations of the first fit: NNDSVD and ``n_init − 1`` random ones. Ranks of 128 and above have
            NNDSVD alone, which the screening selected there on activations.
        n_sampled_rows: Feature rows of the sampled stages; 0 iterates over all rows from the beginning.
        screening_iter: Iterations after which only the best initialization of each rank is continued.
        max_iter: Maximum number of further iterations over the sampled rows.
        warm_max_iter: Maximum number of iterations over the sampled rows that start from an earlier result.
        sample_tol: ``tol`` of the sampled stages.
        momentum: Initial weight of the extrapolation; with 0 there is none, and no step raises the objective.
        sweeps: HALS sweeps over W and over F in each iteration.
        penalty_W: Penalty on every W̃_b.
        penalty_F: Penalty on F. With a penalty on one factor alone, the components of the other one have a norm of at
            most 1, since otherwise they would grow until the penalty had no effect.

    Raises:
        ValueError: An option out of its range; the message names it.
        TypeError: A penalty that is no penalty object.
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
        check_int("n_sampled_rows", self.n_sampled_rows, 0)
        check_non_negative("tol", self.tol)
        check_non_negative("sample_tol", self.sample_tol)
        is_pair = isinstance(self.sweeps, (tuple, list)) and len(self.sweeps) == 2
        if not is_pair or not all(type(n) is int and n >= 1 for n in self.sweeps):
            raise ValueError(
                f"sweeps: must be two whole numbers ≥ 1, those over W and over F, found {self.sweeps!r}; "
                "write e.g. (2, 2)."
            )
        check_penalty("penalty_W", self.penalty_W)
        check_penalty("penalty_F", self.penalty_F)
        if not is_number(self.momentum) or not 0 <= self.momentum < 1:
            raise ValueError(
                f"momentum: must be at least 0 and less than 1, found {self.momentum!r}; 0 switches extrapolation off."
            )

    @property
    def _scale_is_free(self) -> bool:
        """Whether the scale between W and F is arbitrary, so that rows of F can have unit norm."""
        return self.penalties == (None, None)

    @property
    def can_freeze(self) -> bool:
        """Whether converged groups may be left out: `finish` computes W from F."""
        return True

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """Returns stages on sampled rows first, if there are enough rows and no penalties; then on all rows."""
        uses_sample = bool(self.n_sampled_rows) and problem.features > 2 * self.n_sampled_rows and self._scale_is_free
        n_rows = self.n_sampled_rows if uses_sample else None
        stages = []
        if warm:
            stages.append(Stage(n_rows, 1, self.warm_max_iter, self.sample_tol, "warm_max_iter", MAX_FALL))
        else:
            if self.n_init > 1:
                n_screening_rows = None if n_rows is None else max(1, n_rows // 2)
                screening = Stage(n_screening_rows, self.n_init, self.screening_iter, self.sample_tol, "screening_iter")
                stages.append(screening)
            stages.append(Stage(n_rows, 1, self.max_iter, self.sample_tol, "max_iter"))
        if uses_sample and self.n_final_iter > 1:
            stages.append(Stage(None, 1, self.n_final_iter - 1, self.tol, "n_final_iter"))
        return stages

    def init(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor | None = None) -> State:
        """Returns the state at F, with W fitted to it unless W is given."""
        F = F.clone()
        if self._scale_is_free:
            normalize_rows_(F)
        B = problem.project(F)
        if W is None:
            W = torch.empty_like(B)
            initialize_W_(groups, W, B, groups.grams(F), problem.signed_columns(), self.penalties[0])
        infinite = torch.full((len(groups),), torch.inf, dtype=torch.float64, device=F.device)
        beta = torch.full_like(infinite, self.momentum)
        weights = {"beta": beta, "beta_max": torch.ones_like(infinite), "beta_last": beta.clone()}
        return State(F, W, infinite, rows={"search": F.clone()}, groups=weights, scratch=B, fresh=True)

    def step(self, problem: CoupledProblem, groups: ComponentGroups, state: State) -> State:
        """Updates W at the extrapolated point, updates F from there, and extrapolates F along its last change."""
        search = state.rows["search"]
        W = state.W
        if not state.fresh:
            assert state.scratch is not None
            B = problem.project(search, out=state.scratch)
            grams = groups.grams(search)
            update_W_(groups, W, B, grams, problem.signed_columns(), self.sweeps[0], self.penalties[0])
        C = problem.backproject(W)
        V = list(map(problem.partition.all_reduce_sum, groups.grams(W)))
        F, value = self._update_F(problem, groups, search, W, C, V)
        if self._scale_is_free:
            normalize_rows_(F, W)
        return self._extrapolate(groups, state, F, W, value)

    def finish(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, state: State | None) -> SolverResult:
        """Fits W to F once more, a few thousand rows at a time, and then F to the sums over all rows."""
        if not self._scale_is_free:
            return self._finish_with_penalties(problem, groups, F, state)
        grams = groups.grams(F)
        W = problem.prototype.new_empty(F.shape[0], problem.m) if state is None else state.W
        sums = RowSums.zeros(problem, groups)
        for b, columns, samples in problem.chunks():
            part = W[:, columns]
            signed = problem.signed_columns_of_chunk(b)
            B = torch.mm(F, samples).mul_(problem.omega[b])
            if state is None:
                initialize_W_(groups, part, B, grams, signed)
            else:
                update_W_(groups, part, B, grams, signed, FINAL_SWEEPS)
            sums.add_(groups, b, part, samples, problem.omega[b])
        C, V = sums.total(problem)
        F, value = self._update_F(problem, groups, F, W, C, V)
        return SolverResult(F, W, sums, value)

    def _finish_with_penalties(
        self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, state: State | None
    ) -> SolverResult:
        """Does the same over all rows at once, because a penalty may join a component's entries of all blocks."""
        assert state is not None  # the only stages iterate over all rows, and keep the W of every best iterate
        W = state.W
        signed = problem.signed_columns()
        update_W_(groups, W, problem.project(F), groups.grams(F), signed, FINAL_SWEEPS, self.penalties[0])
        sums = row_sums(problem, groups, W)
        C, V = sums.total(problem)
        F, value = self._update_F(problem, groups, F, W, C, V)
        return SolverResult(F, W, sums, value)

    def _update_F(
        self, problem: CoupledProblem, groups: ComponentGroups, start: Tensor, W: Tensor, C: Tensor, V: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Returns F after the sweeps from ``start``, and the objective of (F, W)."""
        F = start.clone()
        prox_ = scaled_prox(self.penalties[1], 1 / (problem.energy or 1.0))
        make_nnls_solver(groups.sizes, V, prox_).improve_(F, C, self.sweeps[1])
        return F, objective(problem, groups, F, W, C, V, self.penalties)

    def _extrapolate(self, groups: ComponentGroups, state: State, F: Tensor, W: Tensor, value: Tensor) -> State:
        """Extrapolates F where the objective fell, and adapts the weight β of each group (Ang and Gillis 2019)."""
        if not self.momentum:
            return State(F, W, value, rows={"search": F.clone()}, groups=state.groups, scratch=state.scratch)
        beta = state.groups["beta"]
        beta_max = state.groups["beta_max"]
        is_first = torch.isinf(state.objective)
        rose = value > state.objective
        fell = ~rose & ~is_first
        search = (F + groups.expand(beta * fell).to(F) * (F - state.F)).clamp_(min=0)
        larger = torch.where(fell, torch.minimum(beta_max, 1.1 * beta), beta)
        larger_max = torch.where(fell, (1.05 * beta_max).clamp_max(1), beta_max)
        weights = {
            "beta": torch.where(rose, beta / 1.5, larger),
            "beta_max": torch.where(rose, state.groups["beta_last"], larger_max),
            "beta_last": torch.where(fell, beta, state.groups["beta_last"]),
        }
        if self._scale_is_free:
            normalize_rows_(search)
        return State(F, W, value, rows={"search": search}, groups=weights, scratch=state.scratch)
