"""Concept vectors against their definitions, and the classifier against scikit-learn's."""

import pytest
import torch

from lightning_factorlens.concepts.tcav_classifier import PENALTY, classifier_weights
from lightning_factorlens.concepts.tcav_vectors import choose_images, vector_weights


def concept_vectors(activations, images):
    return vector_weights(activations, images) @ activations


def some_layer(n=40, m=15, seed=0):
    g = torch.Generator().manual_seed(seed)
    activations = torch.rand(n, m, generator=g, dtype=torch.float64)
    top = torch.stack([torch.randperm(n, generator=g)[:8] for _ in range(5)])
    return activations, top


def test_random_images_are_no_top_images_and_depend_on_the_seed_alone():
    _, top = some_layer()
    images = choose_images("difference", top, 40, seed=1)
    assert images.random.shape == (5, 8)
    for rows, others in zip(top, images.random):
        assert not set(rows.tolist()) & set(others.tolist())
        assert len(set(others.tolist())) == 8
    assert torch.equal(images.random, choose_images("difference", top, 40, seed=1).random)
    assert not torch.equal(images.random, choose_images("difference", top, 40, seed=2).random)
    assert choose_images("classifier", top, 10 + 1, seed=0).random.shape == (5, 3)


def test_means_and_differences_are_those_of_the_images():
    activations, top = some_layer()
    for kind in ("mean", "difference"):
        images = choose_images(kind, top, 40, seed=1)
        found = concept_vectors(activations, images)
        for k in range(5):
            others = activations if kind == "mean" else activations[images.random[k]]
            torch.testing.assert_close(found[k], activations[top[k]].mean(0) - others.mean(0))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_the_classifier_is_the_minimum_that_scikit_learn_finds(scale):
    linear_model = pytest.importorskip("sklearn.linear_model")
    activations, top = some_layer()
    activations = activations * scale
    images = choose_images("classifier", top, 40, seed=1)
    found = concept_vectors(activations, images)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5, dtype=torch.float64))
    y = torch.tensor([1] * 8 + [-1] * 8)
    for k in range(5):
        X = activations[torch.cat([top[k], images.random[k]])]
        X = (X - X.mean(0)) / (X - X.mean(0)).square().sum(1).mean().sqrt()
        model = linear_model.LogisticRegression(C=1 / (PENALTY * len(X)), tol=1e-10, max_iter=10_000).fit(X, y)
        expected = torch.from_numpy(model.coef_[0])
        torch.testing.assert_close(found[k], expected / expected.norm(), rtol=1e-5, atol=1e-6)


def test_groups_that_do_not_differ_have_no_vector():
    images = choose_images("classifier", torch.tensor([[0, 1]]), 6, seed=0)
    assert not concept_vectors(torch.ones(6, 3, dtype=torch.float64), images).any()


def test_newtons_method_ends_at_the_minimum_for_groups_that_cannot_be_separated():
    X = torch.tensor([1.0, 2.0, -1.0, 50.0], dtype=torch.float64)
    y = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    w = float(X @ classifier_weights((X[:, None] * X)[None], y)[0])
    low, high = -100.0, 100.0  # the best b for this w
    for _ in range(200):
        b = (low + high) / 2
        pull = torch.sigmoid(-y * (w * X + b))
        low, high = (b, high) if float((y * pull).mean()) > 0 else (low, b)
    assert abs(PENALTY * w - float((y * X * pull).mean())) < 1e-9
