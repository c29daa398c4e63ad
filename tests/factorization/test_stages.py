"""The problems of the stages, and the initial factors."""

import torch

from lightning_factorlens.factorization import CoupledProblem, Stage
from lightning_factorlens.factorization.compression import CompressedProblem
from lightning_factorlens.factorization.stages import (
    SINGLE_START_RANK,
    StageProblems,
    initial_factors,
    initialized_groups,
)


def test_each_problem_is_made_once_and_stages_over_all_rows_have_the_problem_itself(planted):
    problem = CoupledProblem(planted(sizes=(300, 400)))
    stage_problem = StageProblems(problem, (1, 2))
    sampled = stage_problem(Stage(100, 1, 5, 0.0))
    assert isinstance(sampled, CompressedProblem) and sampled.m in (99, 100)
    assert stage_problem(Stage(100, 4, 9, 0.1)) is sampled
    assert stage_problem(Stage(None, 1, 5, 0.0)) is problem


def test_samples_of_nothing_but_zeros_are_not_drawn():
    from lightning_factorlens.results import Block

    problem = CoupledProblem([Block("a", "activation", torch.zeros(5, 300), (300,))])
    assert StageProblems(problem, (1,))(Stage(100, 1, 5, 0.0)) is problem


def test_initial_factors_are_nested_reproducible_and_exist_above_the_number_of_samples(planted):
    problem = CoupledProblem(planted(sizes=(30,), N=6))
    V = torch.linalg.eigh(problem.gram())[1].flip(1)
    F = initial_factors(problem, V, (1, 2, 9), n_init=2, seed=3)
    assert F.shape == (24, 6) and (F >= 0).all()
    assert torch.equal(F, initial_factors(problem, V, (1, 2, 9), n_init=2, seed=3))
    assert torch.equal(F[0], F[2])  # the first rows of NNDSVD serve every rank
    assert torch.equal(F[:6].norm(dim=1), F[:6].norm(dim=1).clamp(0.99, 1.01))
    assert not torch.equal(F[1], F[0])


def test_large_ranks_have_nndsvd_alone_and_the_smaller_ones_keep_their_initial_values(planted):
    problem = CoupledProblem(planted(sizes=(30,), N=6))
    V = torch.linalg.eigh(problem.gram())[1].flip(1)
    F = initial_factors(problem, V, (1, 2, SINGLE_START_RANK), n_init=3, seed=3)
    assert F.shape == (3 + 6 + SINGLE_START_RANK, 6)
    assert torch.equal(F[:9], initial_factors(problem, V, (1, 2), n_init=3, seed=3))
    assert torch.equal(F[9 : 9 + 2], F[3:5])


def test_without_nndsvd_large_ranks_have_as_many_initializations_as_the_others():
    assert initialized_groups((1, SINGLE_START_RANK), 2, use_nndsvd=False).sizes == (1, 1, *[SINGLE_START_RANK] * 2)
    assert initialized_groups((1, SINGLE_START_RANK), 2).sizes == (1, 1, SINGLE_START_RANK)
