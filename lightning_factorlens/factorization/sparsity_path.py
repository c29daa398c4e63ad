"""A path over group-sparsity penalties."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_non_negative, is_number
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization.block_weights import Weighting
from lightning_factorlens.factorization.factor_update import initialize_W_
from lightning_factorlens.factorization.fit import make_problem
from lightning_factorlens.factorization.group_sparsity import GroupSparseProblem, SparseState
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.precision import full_precision
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.schedule import run_schedule
from lightning_factorlens.factorization.sparsity_points import PathPoint, descend, fit_point, with_number
from lightning_factorlens.factorization.stages import StageProblems
from lightning_factorlens.factorization.streaming import StreamedProblem
from lightning_factorlens.results import Block, SparsityPath

#: The default path, as fractions of the largest λ.
LAMBDAS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0)


def sparsity_path(
    blocks: Sequence[Block],
    rank: int,
    *,
    lambdas: Sequence[float] = LAMBDAS,
    n_components: int | None = None,
    groups: Sequence[int] | None = None,
    start: Tensor | None = None,
    weighting: Weighting = "unit",
    max_iter: int = 50,
    tol: float = 1e-4,
    seed: int = 0,
    device: torch.device | str | None = None,
    partition: Partition | None = None,
) -> SparsityPath:
    """Fits X_b ≈ W_b F with λ Σ_k ‖w_k‖ ‖f_k‖ for ascending λ, each from the factors of the one before.

    Saini and Papalexakis (2021), "Analyzing representations inside convolutional neural networks", eq. 3.1 and section
    5; the norm is that of the column of all W_b together, so that a component may be absent from a layer. Where there
    are many features, the path is computed on sampled ones; `refit_components` passes over all of them.

    Args:
        blocks: See `factorize`.
        rank: Number of components at λ = 0, from which the path starts.
        lambdas: λ as fractions of its maximum, at which all factors are zero; sorted before use.
        n_components: If given, the path also has a λ with this number of components, found by a search between the
            two nearest λ. Where several components vanish at once, the strongest ones are kept.
        groups: For each sample the number of its group, see `GroupLasso`; with None whole components vanish, which
            needs no labels.
        start: The F of an earlier fit, shape (rank, N); its scale has no influence. Fitted unless given.
        weighting: See `factorize`.
        max_iter: Maximum number of passes for each λ.
        tol: A fit has converged when a pass lowers its objective by less than this fraction.
        seed: Seed of the fit from which the path starts.
        device: See `factorize`.
        partition: The features of every block that ``blocks`` hold; all of them unless given.

    Returns:
        The path, the same in every process.

    Raises:
        ValueError: Blocks that `factorize` refuses, an option out of its range, or a ``start`` of another shape.

    Example:
        >>> samples = torch.rand(30, 3, generator=torch.Generator().manual_seed(0)) @ torch.eye(3).repeat(1, 5)
        >>> path = sparsity_path([Block("relu", "activation", samples, (15,))], rank=5, lambdas=(0.1, 1.0))
        >>> path.n_components
        (3, 0)
    """
    fractions = _checked_fractions(lambdas)
    _check_options(rank, n_components, max_iter, tol)
    with torch.no_grad(), full_precision():
        problem = (
            make_problem(blocks, weighting, partition or Partition(), None, warm=False)
            if device is None
            else StreamedProblem(blocks, weighting, device, partition).unshard()
        )
        penalised, state = _start(problem, rank, start, groups, seed)

        def continued(point: PathPoint, fraction: float) -> PathPoint:
            return fit_point(penalised, point.state, fraction, max_iter, tol)

        points = [PathPoint(0.0, state, ())]
        for fraction in fractions:
            points.append(continued(points[-1], fraction))
        if n_components is not None:

            def reduced(point: PathPoint, fraction: float) -> PathPoint:
                state = point.state
                while len(state.F) > n_components:
                    state = penalised.without_weakest(state)
                return descend(penalised, state, fraction, max_iter, tol)

            points = with_number(points, n_components, continued, reduced)
        # On different processors the same operations may differ in the last digits, so all take process 0's path.
        path = partial(_path, points[1:], rank, penalised.lambda_max * problem.energy)
        return problem.partition.process_group.broadcast_object(path)


def _checked_fractions(lambdas: Sequence[float]) -> list[float]:
    fractions = list(lambdas)
    if not fractions or not all(is_number(value) and 0 < value < float("inf") for value in fractions):
        raise ValueError(
            f"lambdas: must be one or more numbers > 0, as fractions of the λ at which all factors are zero, found "
            f"{lambdas!r}; write e.g. (0.1, 0.3, 0.5)."
        )
    return sorted(fractions)


def _check_options(rank: int, n_components: int | None, max_iter: int, tol: float) -> None:
    check_int("rank", rank, 1)
    check_int("n_components", n_components, 1, or_none="no search")
    check_int("max_iter", max_iter, 1)
    check_non_negative("tol", tol)


def _start(
    problem: CoupledProblem, rank: int, F: Tensor | None, groups: Sequence[int] | None, seed: int
) -> tuple[GroupSparseProblem, SparseState]:
    """Returns the problem of the path, and the components at λ = 0."""
    if F is not None and tuple(F.shape) != (rank, problem.N):
        raise ValueError(
            f"start: found a factor of shape {tuple(F.shape)}, this path needs {(rank, problem.N)}; give the F of a "
            "fit of the same rank and samples, or None."
        )
    solver = HALS()
    stage_problems = StageProblems(problem, (rank,))
    part = stage_problems(solver.schedule(problem, warm=False)[-1])
    if F is None:
        F = run_schedule(problem, (rank,), solver, None, seed)[1].F
    F = torch.nn.functional.normalize(F.to(problem.prototype), dim=1)
    penalised = GroupSparseProblem(part, stage_problems.vectors(part)[:, 0], None if groups is None else tuple(groups))
    B = part.project(F)
    W = torch.empty_like(B)
    initialize_W_(ComponentGroups((rank,)), W, B, [F @ F.T], part.signed_columns())
    state = penalised.scaled(F, W, torch.arange(rank, device=F.device))
    return penalised, state


def _path(points: list[PathPoint], rank: int, lambda_max: float) -> SparsityPath:
    factors = []
    for point in points:
        state = point.state
        F = state.F.new_zeros(rank, state.F.shape[1])
        F[state.index] = state.F * torch.linalg.vector_norm(state.W, dim=1, keepdim=True)
        factors.append(F)
    return SparsityPath(
        rank=rank,
        lambdas=tuple(point.fraction for point in points),
        lambda_max=lambda_max,
        n_components=tuple(len(point.state.F) for point in points),
        F=tuple(factors),
        objective=tuple(point.history[-1] for point in points),
        history=tuple(point.history for point in points),
    )
