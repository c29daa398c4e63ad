"""Coupled non-negative matrix factorization: every method is a file, and every option a field of its solver."""

from lightning_factorlens.factorization.block_weights import WEIGHTINGS, Weighting
from lightning_factorlens.factorization.fit import checked_ranks, factorize, fit, make_problem
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.multiplicative import MultiplicativeUpdates
from lightning_factorlens.factorization.named_solvers import check_solver
from lightning_factorlens.factorization.normalize import normalize_columns
from lightning_factorlens.factorization.objective import objective
from lightning_factorlens.factorization.parafac2 import parafac2
from lightning_factorlens.factorization.penalties import L1, L2, GroupLasso, Penalty
from lightning_factorlens.factorization.precision import full_precision
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.refit_components import refit_components
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.factorization.sparsity_path import sparsity_path
from lightning_factorlens.factorization.state import SolverResult, Stage, State

__all__ = [
    "HALS",
    "L1",
    "L2",
    "WEIGHTINGS",
    "ComponentGroups",
    "CoupledProblem",
    "GroupLasso",
    "MultiplicativeUpdates",
    "Penalty",
    "Solver",
    "SolverResult",
    "Stage",
    "State",
    "Weighting",
    "check_solver",
    "checked_ranks",
    "factorize",
    "fit",
    "full_precision",
    "make_problem",
    "normalize_columns",
    "objective",
    "parafac2",
    "refit_components",
    "sparsity_path",
]
