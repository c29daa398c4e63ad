"""What a solver is to the fit loop: `init` and `step` over a state, and a schedule of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import Groups
from lightning_factorlens.factorization.penalties import Penalty
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
    """

    F: Tensor
    W: Tensor
    objective: Tensor
    rows: dict[str, Tensor] = field(default_factory=dict)
    groups: dict[str, Tensor] = field(default_factory=dict)
    scratch: Tensor | None = None

    def select(self, groups: Groups, keep: Sequence[int]) -> State:
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
class Stage:
    """One leg of a fit: on how many sampled rows (None: all), for how many passes, to which relative change."""

    sample: int | None
    restarts: int
    passes: int
    tol: float


class Solver(Protocol):
    """One method of fitting, its options its fields."""

    @property
    def freezes(self) -> bool:
        """Whether a group at rest may be left out of later steps: `finish` must then need F alone."""

    @property
    def penalty_W(self) -> Penalty | None:
        """Penalty on W, if any."""

    @property
    def penalty_F(self) -> Penalty | None:
        """Penalty on F, if any."""

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """The stages of a fit; restarts after the first stage are not possible."""

    def init(self, problem: CoupledProblem, groups: Groups, F: Tensor, W: Tensor | None = None) -> State:
        """A state at F, and at W where given."""

    def step(self, problem: CoupledProblem, groups: Groups, state: State) -> State:
        """One pass over the problem."""

    def finish(self, problem: CoupledProblem, groups: Groups, F: Tensor, state: State) -> Tensor:
        """The W̃ that belongs to the best F."""


def term(penalty: Penalty | None, name: str) -> float:
    """``curvature`` or ``shift`` of a penalty that may be absent."""
    return 0.0 if penalty is None else float(getattr(penalty, name))


def objective(
    problem: CoupledProblem,
    groups: Groups,
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
    fit = []
    for f, c, v in zip(groups.split(F), groups.split(C), V):
        f64 = f.double()
        fit.append(1 - 2 * (c.double() * f64).sum() + (v.double() * (f64 @ f64.T)).sum())
    total = torch.stack(fit).clamp_min(0)
    on_W, on_F = penalties
    if on_W is not None:
        total = total + torch.stack([w.sum() for w in groups.split(problem.reduce(on_W.value(W)))])
    if on_F is not None and problem.energy > 0:
        total = total + torch.stack([f.sum() for f in groups.split(on_F.value(F))]) / problem.energy
    return total
