"""The records of the fit loop: the state of an iteration, a stage of a fit, and its final result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_factorlens.factorization.evaluate import RowSums
from lightning_factorlens.factorization.groups import ComponentGroups


@dataclass
class State:
    """The state of an iteration, from which the next step is computed.

    Attributes:
        F: Last iterate, shape (R, N).
        W: The stacked factor, scaled by ω, shape (R, m).
        objective: Objective of (F, W) for each group, shape (groups,), float64.
        rows: Further tensors of a solver with one row per component.
        groups: Further tensors of a solver with one entry per group.
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
        """Returns the state of the groups in ``keep`` alone; ``groups`` are those of this state."""
        component_index = groups.rows(keep).to(self.F.device)
        group_index = torch.tensor(list(keep), device=self.F.device)
        selected = State(self.F[component_index], self.W[component_index], self.objective[group_index])
        for name, tensor in self.rows.items():
            selected.rows[name] = tensor[component_index]
        for name, tensor in self.groups.items():
            selected.groups[name] = tensor[group_index]
        if self.scratch is not None:
            selected.scratch = self.scratch[: len(component_index)]
        return selected


@dataclass(frozen=True)
class Stage:
    """One stage of a fit.

    Attributes:
        n_sampled_rows: Number of sampled feature rows to work on; None for all rows.
        n_init: Number of initializations of every rank; the best one enters the next stage. Ranks of 128 and above
            have NNDSVD alone, unless the fit leaves it out.
        max_iter: Maximum number of iterations.
        tol: A group has converged when two iterations in a row change its objective by less than this fraction.
        option_name: Name of the solver's option that set ``max_iter``, for messages.
        max_fall: A fit that continues from an earlier result starts anew if this stage lowers the objective of any
            group by more than this fraction of the value after its first iteration; None for no limit.
    """

    n_sampled_rows: int | None
    n_init: int
    max_iter: int
    tol: float
    option_name: str = "max_iter"
    max_fall: float | None = None


@dataclass(frozen=True)
class SolverResult:
    """The result of the last iteration, which is over all feature rows.

    Attributes:
        F: Shape (R, N).
        W: The stacked factor, scaled by ω, shape (R, m).
        sums: Sums of W over the feature rows, from which the errors follow without another iteration.
        objective: Objective of (F, W) for each group, shape (groups,), float64.
    """

    F: Tensor
    W: Tensor
    sums: RowSums
    objective: Tensor
