"""What a solver is to the fit loop: `init` and `step` over a state, and a schedule of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from lightning_factorlens.factorization.evaluate import RowSums
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.penalties import L2, Penalty
from lightning_factorlens.factorization.problem import CoupledProblem


@dataclass
class State:
    """Where an iteration stands.

    Attributes:
        F: Last iterate, shape (R, N).
        W: The stacked factor, scaled by ω, shape (R, m).
        objective: Of (F, W), one a group, float64.
        rows: Further tensors of a solver with one row a component.
        groups: Further tensors of a solver with one entry a group.
        scratch: Memory of W's size that a solver may overwrite.
        fresh: Whether W was just fitted to the point from which the next step starts.
    """

    F: Tensor
    W: Tensor
    objective: Tensor
    rows: dict[str, Tensor] = field(default_factory=dict)
    groups: dict[str, Tensor] = field(default_factory=dict)
    scratch: Tensor | None = None
    fresh: bool = False

    def select(self, groups: ComponentGroups, keep: Sequence[int]) -> State:
        """The state of the groups in ``keep`` alone."""
        index = groups.rows(keep).to(self.F.device)
        chosen = torch.tensor(list(keep), device=self.F.device)
        return State(
            self.F[index],
            self.W[index],
            self.objective[chosen],
            {name: t[index] for name, t in self.rows.items()},
            {name: t[chosen] for name, t in self.groups.items()},
            None if self.scratch is None else self.scratch[: len(index)],
        )


@dataclass(frozen=True)
class SolverResult:
    """What the last pass over all rows leaves.

    Attributes:
        F: Shape (R, N).
        W: The stacked factor, scaled by ω, shape (R, m).
        sums: Its sums over the rows, from which the errors of (F, W) follow without another pass.
        objective: Of (F, W), one a group, float64.
    """

    F: Tensor
    W: Tensor
    sums: RowSums
    objective: Tensor


@dataclass(frozen=True)
class Stage:
    """One leg of a fit.

    Attributes:
        sample: Sampled rows to work on; None for all.
        restarts: Starts of every rank.
        passes: At most so many passes.
        tol: A group rests when two passes in a row change its objective by less than this share.
        limit: The solver's option that set ``passes``.
        survivors: The best of each rank's starts that go on to the next stage, one from the last.
    """

    sample: int | None
    n_init: int
    max_iter: int
    tol: float
    option_name: str = "passes"
    survivors: int = 1


class Solver(Protocol):
    """One method of fitting, its options its fields."""

    @property
    def can_freeze(self) -> bool:
        """Whether a group at rest may be left out of later steps: `finish` must then need F alone."""

    @property
    def penalty_W(self) -> Penalty | None:
        """Penalty on W, if any."""

    @property
    def penalty_F(self) -> Penalty | None:
        """Penalty on F, if any."""

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """The stages of a fit; restarts after the first stage are not possible."""

    def init(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, W: Tensor | None = None) -> State:
        """A state at F, and at W where given."""

    def step(self, problem: CoupledProblem, groups: ComponentGroups, state: State) -> State:
        """One pass over the problem."""

    def finish(self, problem: CoupledProblem, groups: ComponentGroups, F: Tensor, state: State | None) -> SolverResult:
        """The last pass, over all rows, from the best F; ``state`` is the last one where it holds every group of it."""


def scaled_prox(penalty: Penalty | None, unit: float = 1.0) -> Callable[[Tensor, float], Tensor] | None:
    """The proximal step of ``unit`` times a penalty that may be absent."""
    if penalty is None:
        return None
    return lambda t, v: penalty.prox_(t, v / unit)  # v‖t‖² + unit·p(t) and (v/unit)‖t‖² + p(t) have one minimum


def ridge_weight(penalty: Penalty | None) -> float:
    """The ridge that a penalty on W is to a block with a signed factor; only L2 is one, others pass such blocks by."""
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
    """1 − 2⟨C, F⟩ + ⟨V, F Fᵀ⟩ + penalties, one a group, float64 (relative error ≤ 6e-7 of 1 in float32).

    Args:
        problem: Whose zero model has the value 1.
        groups: Of the components.
        F: Shape (R, N).
        W: Shape (R, m).
        C: W̃ X̃, shape (R, N).
        V: W̃ W̃ᵀ of each group.
        penalties: On W and on F; λ_F is a penalty in the user's units, so it is divided by the energy.

    Returns:
        Shape (groups,).
    """
    F64 = F.double()
    rows = -2 * (C * F64).sum(1)  # float64: C is promoted as it is read
    rows += groups.quadratic_form(V, F64)
    fit = (1 + groups.sums(rows)).clamp_min(0)
    on_W, on_F = penalties
    if on_W is not None:
        if not isinstance(on_W, L2) and problem.signed_columns():  # which it passes by, see `ridge_of`
            W = W.clone()
            for c in problem.signed_columns():
                W[:, c] = 0
        fit = fit + groups.sums(problem.partition.all_reduce_sum(on_W.value(W)))
    if on_F is not None and problem.energy > 0:
        fit = fit + groups.sums(on_F.value(F)) / problem.energy
    return fit
