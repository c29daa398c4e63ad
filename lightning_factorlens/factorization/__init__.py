"""Coupled non-negative matrix factorisation: a method is a file, an option is a field."""

from lightning_factorlens.factorization.fit import checked_ranks, factorize, fit, make_problem
from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.multiplicative import MultiplicativeUpdates
from lightning_factorlens.factorization.normalize import normalize_columns
from lightning_factorlens.factorization.penalties import L1, L2, GroupLasso, Penalty
from lightning_factorlens.factorization.precision import full_precision
from lightning_factorlens.factorization.problem import WEIGHTINGS, CoupledProblem, Weighting
from lightning_factorlens.factorization.solver import Solver

__all__ = [
    "HALS",
    "L1",
    "L2",
    "WEIGHTINGS",
    "CoupledProblem",
    "GroupLasso",
    "MultiplicativeUpdates",
    "Penalty",
    "Solver",
    "Weighting",
    "checked_ranks",
    "factorize",
    "fit",
    "full_precision",
    "make_problem",
    "normalize_columns",
]
