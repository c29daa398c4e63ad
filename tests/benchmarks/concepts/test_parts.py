"""The benchmark's planted data and figures have known answers."""

import torch

from benchmarks.concepts.baselines import kmeans_top, nearest, pca_top, same_class, spearman
from benchmarks.concepts.group_sparsity import finds_planted, largest_rise
from benchmarks.concepts.parafac2 import lowest_congruence, orthogonality_error
from benchmarks.concepts.parafac2_data import PLANTED_RANK, planted
from benchmarks.part import interleaved_medians
from lightning_factorlens.concepts.clarity import commonest_share
from lightning_factorlens.factorization import parafac2
from lightning_factorlens.results import SparsityPath


def test_congruence_does_not_depend_on_order_sign_and_scale():
    F = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    assert lowest_congruence(-2 * F[[2, 0, 3, 1]], F) > 0.99999
    assert lowest_congruence(F[[0, 0, 2, 3]], F) < 0.9


def test_the_planted_slices_are_fitted():
    blocks, F = planted(0, nonnegative=False, N=60)
    result = parafac2(blocks, PLANTED_RANK)
    assert lowest_congruence(result.F, F) > 0.98
    assert orthogonality_error(result) < 1e-8


def test_the_planted_components_are_found():
    assert finds_planted(0)


def test_the_largest_rise_is_that_of_any_lambda():
    path = SparsityPath(1, (0.1, 0.2), 1.0, (1, 1), (), (0.5, 0.6), ((0.7, 0.5), (0.5, 0.6)))
    assert abs(largest_rise(path) - 0.1) < 1e-12


def test_functions_that_are_compared_take_turns():
    calls = []
    medians = interleaved_medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b", "a", "b"]
    assert set(medians) == {"a", "b"}


def test_the_groupings_of_the_late_fit_find_planted_clusters():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    X = torch.eye(3, dtype=torch.float64)[labels] + 0.05 * torch.rand(90, 3, generator=generator, dtype=torch.float64)
    assert commonest_share(labels[kmeans_top(X, 3, 0)]).tolist() == [1, 1, 1]
    assert pca_top(X, 2, 0).shape == (2, 16)
    assert same_class(nearest(X)[:, :20], labels) == 1
    assert abs(spearman(torch.tensor([1.0, 2.0, torch.nan, 3.0]), torch.tensor([2.0, 3.0, 0.0, 9.0])) - 1) < 1e-12
