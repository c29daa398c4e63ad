"""The direction of a concept in the channels of a layer."""

import pytest
import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts import concept_direction


def test_a_direction_is_what_a_concept_has_more_of_than_the_others():
    W = torch.ones(3, 2, 2, 2)  # channels, height, width, concepts
    W[1, :, :, 0] += 4.0
    W[2, :, :, 1] += 4.0
    concepts = make_concepts(
        torch.rand(2, 9), [("conv", "activation", (3, 2, 2), W.flatten(0, 2))], torch.rand(9, 1, 4, 4)
    )
    expected = torch.tensor([0.0, 1.0, -1.0]) / 2**0.5
    assert torch.allclose(concept_direction(concepts, 0, "conv"), expected)
    assert torch.allclose(concept_direction(concepts, 1, "conv"), -expected)
    with pytest.raises(KeyError, match="no block 'fc'"):
        concept_direction(concepts, 0, "fc")
