"""The fits of a path over group-sparsity penalties, each from the components of a smaller λ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lightning_factorlens.factorization.group_sparsity import GroupSparseProblem, SparseState

#: Steps of the search between two λ for a number of components.
BISECTIONS = 12
#: Passes after which a state with fewer components is compared.
TRIAL_PASSES = 4


@dataclass(frozen=True)
class PathPoint:
    """One λ of a path."""

    fraction: float
    state: SparseState
    history: tuple[float, ...]


def fit_point(
    penalised: GroupSparseProblem, start: SparseState, fraction: float, max_iter: int, tol: float
) -> PathPoint:
    """Returns the fit of one λ from the components of a smaller one."""
    if fraction >= 1 or not len(start.F):
        # At its maximum and above, zero is the minimum; with λ close to it the passes would take long to arrive there.
        return PathPoint(fraction, start.select([]), (1.0,))
    weight = fraction * penalised.lambda_max
    point = descend(penalised, start, fraction, max_iter, tol)
    # A component that is about to vanish takes many passes; one that shares its samples with others may stay.
    while len(point.state.F) > 1:
        trial = descend(penalised, penalised.without_weakest(point.state), fraction, TRIAL_PASSES, tol)
        if trial.history[-1] > point.history[-1]:
            break
        point = PathPoint(fraction, trial.state, (*point.history, trial.history[-1]))
    # Near the maximum all components may have vanished although the leading one alone is better than none.
    leading = penalised.leading_component(start, weight)
    trial = descend(penalised, leading, fraction, TRIAL_PASSES, tol)
    if trial.history[-1] < point.history[-1]:
        point = PathPoint(fraction, trial.state, (*point.history, trial.history[-1]))
    return point


def descend(penalised: GroupSparseProblem, state: SparseState, fraction: float, max_iter: int, tol: float) -> PathPoint:
    """Passes until a pass lowers the objective by less than ``tol``, at most ``max_iter`` of them."""
    weight = fraction * penalised.lambda_max
    history: list[float] = []
    for _ in range(max_iter):
        updated, value = penalised.descend(state, weight)
        if history and value > history[-1]:  # by rounding, at the end
            break
        state, value = penalised.merge_collinear(updated, weight, value)
        has_converged = bool(history) and history[-1] - value <= tol * value
        history.append(value)
        if has_converged or not len(state.F):
            break
    return PathPoint(fraction, state, tuple(history))


def with_number(
    points: list[PathPoint],
    wanted: int,
    continued: Callable[[PathPoint, float], PathPoint],
    reduced: Callable[[PathPoint, float], PathPoint],
) -> list[PathPoint]:
    """Returns the points and, between two of them, one with ``wanted`` components.

    Args:
        points: The points in ascending order of λ.
        wanted: Number of components.
        continued: Fits a larger λ from a point.
        reduced: Fits a larger λ from the strongest components of a point, for λ at which several vanish at once.
    """
    for position, (lower, upper) in enumerate(zip(points, points[1:])):
        if not len(lower.state.F) > wanted > len(upper.state.F):
            continue
        high = upper.fraction
        for _ in range(BISECTIONS):
            middle = continued(lower, (lower.fraction + high) / 2)
            if len(middle.state.F) == wanted:
                return [*points[: position + 1], middle, *points[position + 1 :]]
            if len(middle.state.F) > wanted:
                lower = middle
            else:
                high = middle.fraction
        last = reduced(lower, (lower.fraction + high) / 2)
        if len(last.state.F) == wanted:
            return [*points[: position + 1], last, *points[position + 1 :]]
    return points
