"""Predicted classes, also where outputs are not finite."""

import math

import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts.predictions import class_probabilities, predicted_classes, predicted_values


def test_outputs_that_are_not_finite_predict_nothing():
    scores = torch.tensor([[1.0, 2.0], [math.nan, 2.0], [math.inf, 0.0], [-math.inf, 0.0], [3.0, 3.0]])
    found = predicted_classes(scores)
    assert found.tolist() == [1, -1, -1, 1, 0]
    assert predicted_values("names", make_concepts(torch.rand(2, 5), predictions=found)) == [1, None, None, 1, 0]


def test_logits_and_probabilities_give_the_same_probabilities():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = logits.softmax(1)
    for scores in (logits, logits.log_softmax(1), expected):
        torch.testing.assert_close(class_probabilities(scores), expected)
    torch.testing.assert_close(class_probabilities(expected.float()), expected, rtol=0, atol=1e-6)


def test_outputs_that_are_not_finite_have_no_probabilities():
    scores = torch.tensor([[1.0, 1.0], [math.nan, 2.0], [math.inf, 0.0], [-math.inf, 0.0], [-math.inf, -math.inf]])
    assert class_probabilities(scores).tolist() == [[0.5, 0.5], [0, 0], [0, 0], [0, 1], [0, 0]]


def test_outputs_that_are_no_class_scores():
    assert predicted_classes(None) is None
    assert class_probabilities(None) is None
