"""Neuron similarity in a lens against the function that computes it."""

import torch

from lightning_factorlens.concepts.similarity import layer_similarities


def test_the_record_holds_the_similarity_of_every_layer(measured):
    observation, _, factorization = measured
    expected = layer_similarities(factorization)
    found = observation["neuron_similarity"].layers
    assert [similarity.layer for similarity in found] == ["relu", "act"]
    for a, b in zip(found, expected):
        assert torch.equal(a.cosine, b.cosine)
        assert (a.mean_cosine, a.mean_top_k, a.k) == (b.mean_cosine, b.mean_top_k, b.k)
