"""Clarity and agreement against brute force and in edge cases."""

import pytest
import torch
from made_concepts import make_concepts
from torch.nn.functional import cosine_similarity

from lightning_factorlens.concepts import agreement, clarity, top_images
from lightning_factorlens.concepts.clarity import commonest_share


def test_clarity_is_the_mean_cosine_of_distinct_top_images():
    g = torch.Generator().manual_seed(0)
    concepts = make_concepts(torch.rand(3, 40, generator=g), features=torch.rand(40, 7, generator=g))
    for k in range(3):
        top = top_images(concepts, k, 5).tolist()
        pairs = [(i, j) for i in top for j in top if i < j]
        cosines = [float(cosine_similarity(concepts.features[i], concepts.features[j], dim=0)) for i, j in pairs]
        assert float(clarity(concepts, 5)[k]) == pytest.approx(sum(cosines) / len(cosines))


def test_clarity_is_the_probability_that_two_distinct_top_images_are_of_one_class():
    g = torch.Generator().manual_seed(0)
    p = torch.rand(40, 3, generator=g).double().softmax(1)
    concepts = make_concepts(torch.rand(2, 40, generator=g), probabilities=p)
    for k in range(2):
        top = top_images(concepts, k, 5).tolist()
        same = [float(p[i] @ p[j]) for i in top for j in top if i != j]
        assert float(clarity(concepts, 5)[k]) == pytest.approx(sum(same) / len(same))
    unknown = make_concepts(torch.ones(1, 4), probabilities=torch.full((4, 10), 0.1).double())
    assert float(clarity(unknown)) == pytest.approx(0.1)


def test_agreement_is_the_share_of_the_commonest_prediction():
    F = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    concepts = make_concepts(F, predictions=torch.tensor([7, 7, 1, -1, -1]))
    assert agreement(concepts, 3).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert agreement(concepts, 2).tolist() == [1.0, 0.0]


def test_where_there_is_nothing_to_compare_it_is_nan():
    F = torch.rand(3, 6)
    F[1] = 0
    concepts = make_concepts(F, predictions=torch.zeros(6, dtype=torch.int64))
    for found in (clarity(concepts), agreement(concepts)):
        assert found.isnan().tolist() == [False, True, False]
    assert agreement(make_concepts(F)).isnan().all()
    assert clarity(make_concepts(torch.ones(2, 1))).isnan().all()
    assert clarity(make_concepts(torch.ones(1, 4), features=torch.zeros(4, 3))).tolist() == [0.0]


def test_features_of_extreme_size():
    for scale in (1e-200, 1e200):
        concepts = make_concepts(torch.ones(1, 4), features=torch.ones(4, 3).double() * scale)
        assert float(clarity(concepts)) == pytest.approx(1)


def test_images_without_a_group_are_never_the_commonest():
    groups = torch.tensor([[-1, -1, -1, 0], [2, 2, 0, -1]])
    assert commonest_share(groups).tolist() == [0.25, 0.5]
    assert commonest_share(torch.full((2, 3), -1)).tolist() == [0.0, 0.0]
