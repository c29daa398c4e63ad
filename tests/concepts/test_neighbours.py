"""Neighbours in the latent space against scikit-learn and brute force."""

import math

import numpy as np
import pytest
import torch
from made_concepts import make_concepts
from sklearn.metrics.pairwise import cosine_similarity

from lightning_factorlens.concepts import dominant_concepts, neighbours


@pytest.mark.parametrize(("n", "count"), [(2, 1), (3, 2), (40, 30), (1100, 5)])
def test_neighbours_against_scikit_learn(n, count):
    F = torch.rand(4, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    found = neighbours(make_concepts(F), count=count)
    cosine = cosine_similarity(F.T.numpy())
    np.fill_diagonal(cosine, -np.inf)
    expected = -np.sort(-cosine, axis=1)[:, :count]
    np.testing.assert_allclose(found.cosine.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(cosine, found.indices.numpy(), 1), expected, atol=1e-12)
    assert (found.indices != found.images[:, None]).all()
    dominant = F.argmax(0)
    for row in (0, n - 1):
        tally = [int((dominant[found.indices[row]] == k).sum()) for k in range(4)]
        assert found.tally[row].tolist() == tally
        share = [number / count for number in tally if number]
        assert float(found.entropy[row]) == pytest.approx(-sum(p * math.log(p) for p in share))
    assert (found.tally.sum(1) == count).all()


def test_equally_near_images_come_in_the_order_of_the_probe():
    found = neighbours(make_concepts(torch.ones(2, 6)), images=[3, 0], count=4)
    assert found.indices.tolist() == [[0, 1, 2, 4], [1, 2, 3, 4]]
    assert found.tally.tolist() == [[4, 0], [4, 0]]
    assert found.entropy.tolist() == [0, 0]


def test_images_without_a_concept_are_counted_apart():
    F = torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0]])
    assert dominant_concepts(make_concepts(F)).tolist() == [0, -1, 1, 0]
    found = neighbours(make_concepts(F), count=3)
    assert found.n_without_concept.tolist() == [1, 0, 1, 1]
    assert (found.tally.sum(1) + found.n_without_concept == 3).all()
    assert found.cosine[1].tolist() == [0, 0, 0]
    nothing = neighbours(make_concepts(torch.zeros(2, 3)), images=0)
    assert nothing.entropy.isnan().all()


def test_the_default_number():
    assert neighbours(make_concepts(torch.rand(2, 50)), images=0).indices.shape == (1, 30)
    assert neighbours(make_concepts(torch.rand(2, 3)), images=0).indices.shape == (1, 2)


def test_positions_may_be_numbers_of_any_kind():
    concepts = make_concepts(torch.rand(2, 5))
    for images in (3, np.int64(3), torch.tensor(3), [3], np.array([3]), torch.tensor([3]), [torch.tensor(3)]):
        assert neighbours(concepts, images).images.tolist() == [3]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="a probe of one image has no neighbours"):
        neighbours(make_concepts(torch.rand(1, 1)))
    concepts = make_concepts(torch.rand(2, 5))
    for count in (0, 5, 2.5):
        with pytest.raises(ValueError, match="^count: "):
            neighbours(concepts, count=count)
    for images in (-1, 5, [0, 7], 1.5, [1.5], True):
        with pytest.raises(ValueError, match="^images: "):
            neighbours(concepts, images)
