"""Top images and affinities against sorting in Python."""

import pytest
import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts import affinity, top_images
from lightning_factorlens.concepts.top_images import top_images_of_all


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 200])
def test_top_images_are_sorted_and_ties_go_to_the_first_image(n):
    F = torch.randint(0, 4, (3, n), generator=torch.Generator().manual_seed(n)).float()
    concepts = make_concepts(F)
    for k in range(3):
        expected = sorted(range(n), key=lambda i: (-float(F[k, i]), i))[:16]
        assert top_images(concepts, k).tolist() == expected
        assert top_images_of_all(concepts)[k].tolist() == expected


def test_affinities_are_relative_to_the_top_image():
    F = torch.tensor([[1.0, 4.0, 2.0], [0.0, 0.0, 0.0]])
    assert affinity(make_concepts(F)).tolist() == [[0.25, 1.0, 0.5], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("k", [-1, 3, 1.0, True])
def test_k_must_be_a_concept(k):
    with pytest.raises(ValueError, match="^k: "):
        top_images(make_concepts(torch.rand(3, 5)), k)


def test_count_must_be_positive():
    with pytest.raises(ValueError, match="^count: "):
        top_images(make_concepts(torch.rand(3, 5)), 0, count=0)
