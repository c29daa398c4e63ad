"""The base class of solvers: `init` and `step` over a state, and defaults for everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lightning_factorlens.factorization.evaluate import row_sums
from lightning_factorlens.factorization.factor_update import fit_W
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.objective import objective
from lightning_factorlens.factorization.penalties import Penalty
from lightning_factorlens.factorization.penalty_pairs import effective_penalties
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.state import SolverResult, Stage, State

#: Iterations and tolerance of the default schedule.
DEFAULT_MAX_ITER = 200
DEFAULT_TOL = 1e-4


class Solver(ABC):
    """A method that fits a coupled problem; its options are its fields.

    A subclass must define `init` and `step`. By default it makes one initialization of each rank, iterates over all
    feature rows at most 200 times, and has no penalties.

    Attributes:
        penalty_W: Penalty on every W̃_b, if any.
        penalty_F: Penalty on F, if any. With a penalty on one factor alone, the components of the other one have a
            norm of at most 1, since otherwise they would grow until the penalty had no effect.

    Example:
        >>> class ProjectedGradient(Solver):
        ...     def init(self, problem, groups, F, W=None):
        ...         start = problem.project(F) if W is None else W
        ...         return State(F, start, F.new_full((len(groups),), torch.inf, dtype=torch.float64))
        ...
        ...     def step(self, problem, groups, state):
        ...         F_parts, W_parts, B_parts = [], [], groups.split(problem.project(state.F))
        ...         for F, W, B in zip(groups.split(state.F), groups.split(state.W), B_parts):
        ...             gram = F @ F.T
        ...             W_parts.append((W - (gram @ W - B) / gram.norm()).clamp_min(0))
        ...         W = torch.cat(W_parts)
        ...         C, V = problem.backproject(W), groups.grams(W)
        ...         for F, c, v in zip(groups.split(state.F), groups.split(C), V):
        ...             F_parts.append((F - (v @ F - c) / v.norm()).clamp_min(0))
        ...         F = torch.cat(F_parts)
        ...         return State(F, W, objective(problem, groups, F, W, C, V))
        >>> from lightning_factorlens.factorization import factorize
        >>> from lightning_factorlens.results import Block
        >>> samples = torch.rand(8, 2, generator=torch.Generator().manual_seed(0)) @ torch.ones(2, 20)
        >>> result = factorize([Block("relu1", "activation", samples, (20,))], ranks=[1], solver=ProjectedGradient())
        >>> bool(result.sse[0, 0] < 1e-4 * samples.square().sum())
        True
    """

    penalty_W: Penalty | None = None
    penalty_F: Penalty | None = None

    @property
    def penalties(self) -> tuple[Penalty | None, Penalty | None]:
        """The penalties on W and on F that the fit uses, see `effective_penalties`."""
        return effective_penalties(self.penalty_W, self.penalty_F)

    @property
    def can_freeze(self) -> bool:
        """Whether converged groups may be left out of later steps.

        This requires that `step` accepts any subset of the groups and that `finish` needs only F.
        """
        return False

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """Returns the stages of a fit, at least one; only the first of a fit that is not warm may have ``n_init`` > 1.

        Args:
            problem: The problem with all feature rows.
            warm: Whether the factors of an earlier result are given.
        """
        return [Stage(n_sampled_rows=None, n_init=1, max_iter=DEFAULT_MAX_ITER, tol=DEFAULT_TOL)]

    @abstractmethod
    def init(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor | None = None) -> State:
        """Returns the state at an initial F.

        Args:
            problem: The problem of the stage.
            groups: The groups of components, one for each rank and initialization.
            F: Non-negative, shape (R, N).
            W: The stacked factor, shape (R, m), if it is known.

        Returns:
            A state whose objective may be infinite.
        """

    @abstractmethod
    def step(self, problem: CoupledProblem, groups: ComponentGroups, state: State) -> State:
        """Computes one iteration.

        Args:
            problem: The problem of the stage.
            groups: The groups of components.
            state: The last state; its W may be overwritten, its F may not.

        Returns:
            The next state with its objective (`objective`), to which the stage's tolerance applies.
        """

    def finish(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, state: State | None) -> SolverResult:
        """Computes W for all feature rows and its objective.

        By default W is that of the last state if F is the last iterate; otherwise it is fitted to F.

        Args:
            problem: The problem with all feature rows.
            groups: The groups of components, one for each rank.
            F: The best iterate of each group, shape (R, N).
            state: The last state, if the last stage iterated over all feature rows and its state has all groups.
        """
        F_is_last_iterate = state is not None and torch.equal(state.F, F)
        W = state.W if state is not None and F_is_last_iterate else fit_W(problem, groups, F, self.penalties[0])
        sums = row_sums(problem, groups, W)
        C, V = sums.total(problem)
        value = objective(problem, groups, F, W, C, V, self.penalties)
        return SolverResult(F, W, sums, value)
