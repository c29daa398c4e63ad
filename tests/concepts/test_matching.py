"""Concepts of one fit are found again in another."""

import pytest
import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts import match_concepts
from lightning_factorlens.concepts.matching import has_same_samples


def factors(rank=6, n=40, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(rank, n, generator=g) * (torch.rand(rank, n, generator=g) < 0.4)


def test_permuted_rows_of_the_same_samples_are_found_by_f_whatever_the_rank():
    F = factors()
    order = torch.tensor([3, 5, 0, 1])
    found = match_concepts(make_concepts(F), make_concepts(F[order] * 7))
    assert found.by == "F"
    assert found.other.tolist() == [2, 3, -1, 0, -1, 1]
    torch.testing.assert_close(found.cosine, torch.tensor([1, 1, 0, 1, 0, 1.0], dtype=torch.float64))


def test_concepts_of_other_samples_are_found_by_w_with_every_block_of_the_same_weight():
    W = {"a": factors(4, 30, 1).T, "b": 1e6 * factors(4, 50, 2).T}
    order = torch.tensor([2, 0, 3, 1])
    first = make_concepts(factors(4), [(name, "activation", (len(w),), w) for name, w in W.items()])
    moved = {"a": W["a"][:, order] * 0.1, "b": factors(4, 50, 3).T}  # b has another factor and does not outweigh a
    other = make_concepts(
        factors(4, 25),
        [(name, "activation", (len(w),), w) for name, w in moved.items()],
        inputs=torch.ones(25, 1, 4, 4),
    )
    found = match_concepts(first, other)
    assert found.by == "W"
    assert found.other.tolist() == order.argsort().tolist()
    assert 0.5 < float(found.cosine.min()) < 0.95


def test_a_concept_of_which_nothing_is_left_has_no_partner():
    F = factors()
    F[2] = 0
    found = match_concepts(make_concepts(F), make_concepts(F))
    assert found.other.tolist() == [0, 1, -1, 3, 4, 5]
    assert float(found.cosine[2]) == 0


def test_nothing_in_common_is_an_error():
    a = make_concepts(factors(), [("a", "activation", (5,), torch.rand(5, 6))])
    b = make_concepts(factors(6, 9), [("a", "activation", (4,), torch.rand(4, 6))], inputs=torch.ones(9, 1, 4, 4))
    with pytest.raises(ValueError, match=r"^b: it has other samples than a, and no block"):
        match_concepts(a, b)


def test_samples_that_are_not_finite_equal_no_finite_ones():
    largest = torch.finfo(torch.float32).max
    probe = torch.tensor([torch.nan, torch.inf, 1.0])
    assert has_same_samples(probe, probe.clone())
    assert not has_same_samples(probe, torch.tensor([0.0, torch.inf, 1.0]))
    assert not has_same_samples(probe, torch.tensor([torch.nan, largest, 1.0]))
