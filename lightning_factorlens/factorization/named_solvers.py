"""The solvers that have a name."""

from __future__ import annotations

from typing import Any

from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.multiplicative import MultiplicativeUpdates
from lightning_factorlens.factorization.solver import Solver

#: Name → solver with its default options; "mu" as in scikit-learn.
SOLVERS: dict[str, type[HALS] | type[MultiplicativeUpdates]] = {"hals": HALS, "mu": MultiplicativeUpdates}


def check_solver(solver: Any) -> Solver | None:
    """Returns the solver that is meant.

    Args:
        solver: A solver; ``"hals"`` or ``"mu"``, which have their default options; or None for the default.

    Raises:
        ValueError: A name that no solver has.
        TypeError: Anything else, such as a class or an object that does not inherit from `Solver`.

    Example:
        >>> type(check_solver("mu")).__name__
        'MultiplicativeUpdates'
    """
    if solver is None or isinstance(solver, Solver):
        return solver
    if isinstance(solver, str):
        if solver not in SOLVERS:
            raise ValueError(f"solver: found {solver!r}, allowed are {', '.join(map(repr, SOLVERS))}, or a solver.")
        return SOLVERS[solver]()
    raise TypeError(
        f"solver: found {solver!r}; give 'hals', 'mu', an object such as HALS() or MultiplicativeUpdates(), or None "
        "for the default. A solver of your own must inherit from lightning_factorlens.factorization.Solver and define "
        "init and step."
    )
