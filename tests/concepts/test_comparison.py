"""What two networks have in common, and what one has and the other lacks."""

import math

import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts import compare_concepts

BLOCKS = torch.eye(5).repeat_interleave(4, 1)
LABELS = ["cat"] * 4 + ["dog"] * 4 + ["owl"] * 4 + ["fox"] * 4 + ["hen"] * 4


def test_common_concepts_and_those_that_the_other_lacks_are_named():
    a = make_concepts(BLOCKS[:3])
    b = make_concepts(torch.stack([BLOCKS[1], BLOCKS[0] + 0.1, BLOCKS[4]]))
    found = compare_concepts(a, b, LABELS)
    assert found.pairs == ((1, 0), (0, 1))
    assert (found.only_a, found.only_b) == ((2,), (2,))
    assert float(found.explained_a[2]) < 0.1
    text = str(found)
    assert "concepts in both: 2 (cosine of F at least 0.70), in a alone: 1, in b alone: 1" in text
    assert "a 1 (dog) = b 0 (dog), cosine 1.00" in text
    assert "  a 2 (owl) alone, " in text and "  b 2 (hen) alone, 0 % of it in all concepts of a" in text


def test_a_concept_divided_among_several_is_told_from_one_that_lacks():
    halves = torch.eye(4).repeat_interleave(5, 1)
    a = make_concepts(torch.stack([halves[0] + halves[1], halves[3]]))
    b = make_concepts(torch.stack([halves[0] * 0.6, halves[1], halves[2]]))
    found = compare_concepts(a, b, None, threshold=0.8)
    assert found.pairs == ()
    assert found.only_a == (1, 0)
    assert [round(share, 6) for share in found.explained_a.tolist()] == [1.0, 0.0]
    assert found.names_a == (None, None)


def test_without_predictions_there_are_no_names_and_other_samples_are_compared_by_neurons():
    W = torch.rand(12, 3, generator=torch.Generator().manual_seed(0))
    layers = [("relu", "activation", (12,), W)]
    a = make_concepts(BLOCKS[:3], layers)
    b = make_concepts(torch.rand(3, 7), layers, inputs=torch.ones(7, 1, 4, 4))
    found = compare_concepts(a, b)
    assert found.matches.by == "W"
    assert len(found.pairs) == 3
    assert all(math.isnan(share) for share in found.explained_a.tolist())
    assert found.names_b == (None,) * 3


def test_predictions_of_each_network_name_its_own_concepts():
    a = make_concepts(BLOCKS[:2], predictions=torch.arange(20) // 4)
    b = make_concepts(BLOCKS[:2], predictions=19 - torch.arange(20) // 4)
    found = compare_concepts(a, b)
    assert (found.names_a, found.names_b) == ((0, 1), (19, 18))
