"""Group sparsity that removes components: ‖X − W F‖² + λ Σ_k ‖w_k‖ ‖f_k‖.

Saini and Papalexakis (2021), "Analyzing representations inside convolutional neural networks", section 5, put a group
lasso on F while eq. 3.1 holds the columns of the other factors at unit norm. With ‖w_k‖ = 1 that is this objective,
which does not change when w_k grows as f_k shrinks. It is a sum over components, so that those that explain little
vanish, and two components of one direction cost as much as one (Bach, Mairal and Ponce 2008, "Convex sparse matrix
factorizations"): `merge_collinear` joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.factorization.penalties import GroupLasso
from lightning_factorlens.factorization.problem import CoupledProblem

#: Components whose rows of F have at least this cosine are candidates for being merged.
MERGE_COSINE = 0.9
#: Sweeps over W and over F in each pass.
SWEEPS = 2


@dataclass(frozen=True)
class SparseState:
    """The components that are not zero.

    Attributes:
        F: Shape (k, N), with penalty norm 1 in every row.
        W: The stacked factor, shape (k, m).
        index: The components' positions among all of the rank.
    """

    F: Tensor
    W: Tensor
    index: Tensor

    def select(self, rows: Sequence[int]) -> SparseState:
        """Returns some of the components."""
        kept = torch.tensor(list(rows), dtype=torch.long, device=self.F.device)
        return SparseState(self.F[kept], self.W[kept], self.index[kept])


class GroupSparseProblem:
    """The objective on the features of a problem, and its descent steps.

    Args:
        problem: The problem, usually of sampled features.
        leading: Its leading right singular vector, shape (N,).
        groups: See `GroupLasso`.

    Attributes:
        lambda_max: The smallest λ at which zero factors are the minimum: twice the largest singular value, or that of
            the samples of one group. With signed blocks it is an upper bound.
    """

    def __init__(self, problem: CoupledProblem, leading: Tensor, groups: tuple[int, ...] | None) -> None:
        self.problem = problem
        self.leading = leading.abs()
        self.groups = groups
        self.floor = problem.prototype.new_zeros(problem.m)
        for columns in problem.signed_columns():
            self.floor[columns] = -torch.inf
        self.lambda_max = self._largest_weight()

    def _largest_weight(self) -> float:
        """Zero is the minimum if and only if 2⟨X, w fᵀ⟩ ≤ λ ‖w‖ ‖f‖ for all w and f."""
        if self.groups is None:
            return 2 * float(torch.linalg.vector_norm(self.problem.project(self.leading[None])))
        gram = self.problem.gram().double()
        members = torch.tensor(self.groups, device=gram.device)
        largest = 0.0
        for group in sorted(set(self.groups)):
            index = torch.nonzero(members == group).flatten()
            largest = max(largest, float(torch.linalg.eigvalsh(gram[index][:, index])[-1]))
        return 2 * largest**0.5

    def leading_component(self, state: SparseState, weight: float) -> SparseState:
        """Returns the best fit of one component along the leading singular vector, in place of a state's strongest.

        Args:
            state: The components.
            weight: λ.
        """
        W = self.problem.project(self.leading[None]).maximum(self.floor)
        GroupLasso(weight).prox_(W[0], 1.0)
        strongest = torch.linalg.vector_norm(state.W, dim=1).argmax()
        return self.scaled(self.leading[None], W, state.index[strongest][None])

    def without_weakest(self, state: SparseState) -> SparseState:
        """Returns all components but the one of the smallest penalty."""
        order = torch.linalg.vector_norm(state.W, dim=1).argsort(descending=True, stable=True)
        return state.select(order[:-1].sort().values.tolist())

    def scaled(self, F: Tensor, W: Tensor, index: Tensor) -> SparseState:
        """Returns the components that are not zero, with their scale in W."""
        norms = GroupLasso(1.0, self.groups).value(F).to(F)
        kept = torch.nonzero((norms > 0) & (torch.linalg.vector_norm(W, dim=1) > 0)).flatten()
        norms = norms[kept, None]
        return SparseState(F[kept] / norms, W[kept] * norms, index[kept])

    def objective(self, state: SparseState, weight: float) -> float:
        """Returns the objective of a state as a fraction of the energy.

        Args:
            state: The components.
            weight: λ.
        """
        C = self.problem.backproject(state.W)
        return self._value(state.F, state.W, C, state.W @ state.W.T, weight)

    def descend(self, state: SparseState, weight: float) -> tuple[SparseState, float]:
        """Updates W and then F, component by component; returns the state and its objective, which does not rise."""
        W = state.W.clone()
        penalty = GroupLasso(weight)
        _group_sweeps_(W, self.problem.project(state.F), state.F @ state.F.T, penalty, self.floor)
        norms = torch.linalg.vector_norm(W, dim=1)
        kept = torch.nonzero(norms > 0).flatten()
        norms = norms[kept, None]
        W = W[kept] / norms
        F = state.F[kept] * norms
        C = self.problem.backproject(W)
        gram = W @ W.T
        penalty = GroupLasso(weight, self.groups)
        _group_sweeps_(F, C, gram, penalty, F.new_zeros(F.shape[1]))
        value = self._value(F, W, C, gram, weight)
        return self.scaled(F, W, state.index[kept]), value

    def merge_collinear(self, state: SparseState, weight: float, value: float) -> tuple[SparseState, float]:
        """Joins the two components of the most similar rows of F as long as the objective does not rise.

        Args:
            state: The components.
            weight: λ.
            value: The objective of ``state``.

        Returns:
            The state and its objective.
        """
        while len(state.F) > 1:
            rows = torch.nn.functional.normalize(state.F, dim=1)
            cosines = (rows @ rows.T).triu(1)
            largest = int(cosines.argmax())
            first, second = divmod(largest, len(rows))
            if float(cosines[first, second]) < MERGE_COSINE:
                break
            merged = self._merge(state, first, second)
            merged_value = self.objective(merged, weight)
            if merged_value > value:
                break
            state, value = merged, merged_value
        return state, value

    def _merge(self, state: SparseState, first: int, second: int) -> SparseState:
        """Replaces two components by a rank-one approximation of their sum, at the position of the larger one."""
        pair = torch.tensor([first, second], device=state.F.device)
        W = state.W[pair]
        F = state.F[pair]
        norms = torch.linalg.vector_norm(W, dim=1)
        row = torch.nn.functional.normalize(norms @ F, dim=0)
        column = (F @ row) @ W
        larger, smaller = (first, second) if norms[0] >= norms[1] else (second, first)
        merged_F = state.F.clone()
        merged_W = state.W.clone()
        merged_F[larger] = row
        merged_W[larger] = column
        merged_F[smaller] = 0
        return self.scaled(merged_F, merged_W, state.index)

    def _value(self, F: Tensor, W: Tensor, C: Tensor, gram: Tensor, weight: float) -> float:
        F64 = F.double()
        products = float((C * F64).sum())
        squares = float((gram.double() * (F64 @ F64.T)).sum())
        norms = torch.linalg.vector_norm(W, dim=1) * GroupLasso(1.0, self.groups).value(F)
        return 1 - 2 * products + squares + weight * float(norms.sum())


def _group_sweeps_(T: Tensor, B: Tensor, G: Tensor, penalty: GroupLasso, floor: Tensor) -> None:
    """Sets each row of T in turn to the minimum of tr(Tᵀ G T) − 2⟨B, T⟩ + penalty over T ≥ floor, in place.

    Args:
        T: Shape (k, n).
        B: Shape of T.
        G: Gram matrix, shape (k, k), with a positive diagonal.
        penalty: The penalty on every row.
        floor: Shape (n,): 0, or −∞ for columns that may be negative.
    """
    curvature = G.diagonal().tolist()
    coefficients = (G / G.diagonal()[:, None]).fill_diagonal_(0)
    targets = B / G.diagonal()[:, None]
    for _ in range(SWEEPS):
        for j, row in enumerate(T.unbind(0)):
            torch.addmv(targets[j], T.T, coefficients[j], alpha=-1, out=row)
            torch.maximum(row, floor, out=row)
            penalty.prox_(row, curvature[j])
