"""Predicted classes, also where outputs are not finite."""

import math

import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts.predictions import predicted_classes, predicted_values


def test_outputs_that_are_not_finite_predict_nothing():
    scores = torch.tensor([[1.0, 2.0], [math.nan, 2.0], [math.inf, 0.0], [-math.inf, 0.0], [3.0, 3.0]])
    found = predicted_classes(scores)
    assert found.tolist() == [1, -1, -1, 1, 0]
    assert predicted_values("names", make_concepts(torch.rand(2, 5), predictions=found)) == [1, None, None, 1, 0]


def test_outputs_that_are_no_class_scores():
    assert predicted_classes(None) is None
