"""Products through a basis of the leading subspace."""

import torch

from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.factorization.compression import CompressedProblem, basis_width


def test_products_are_those_of_the_problem_if_the_basis_spans_the_data(planted):
    problem = CoupledProblem(planted(r=4, sizes=(30, 200), N=60))
    basis = torch.linalg.eigh(problem.gram())[1][:, -4:]
    compressed = CompressedProblem(problem, basis)
    generator = torch.Generator().manual_seed(0)
    F = torch.rand(3, problem.N, dtype=torch.float64, generator=generator)
    W = torch.rand(3, problem.m, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(compressed.project(F), problem.project(F), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(compressed.backproject(W), problem.backproject(W), atol=1e-9, rtol=1e-9)


def test_a_basis_is_used_only_if_it_is_much_narrower_than_the_number_of_samples():
    assert basis_width(4, 512) == 12
    assert basis_width(4, 30) == 12
    assert basis_width(4, 29) is None
