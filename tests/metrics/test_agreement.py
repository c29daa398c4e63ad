"""Agreements against second versions in float64."""

import numpy as np
import pytest
import torch
from outputs import logits, softmax

from lightning_factorlens.metrics.agreement import ClassAgreement, CosineDistance, LabelAgreement, RelativeChange


def value(agreement, a, b, batch=7):
    """The value over batches."""
    total, weight = 0.0, 0.0
    for x, y in zip(a.split(batch), b.split(batch)):
        parts = agreement(x, y)
        total += parts[0]
        weight += parts[1]
    return total / weight


def test_class_agreement_of_samples():
    a, b = logits(seed=0), logits(seed=1)
    p = softmax(b)
    expected = -np.log(p[np.arange(len(a)), a.numpy().argmax(1)]).mean()
    assert value(ClassAgreement(), a, b) == pytest.approx(expected, rel=1e-5)
    as_probabilities = value(ClassAgreement(is_probability=True), a.softmax(1), b.softmax(1))
    assert as_probabilities == pytest.approx(expected, rel=1e-4)
    assert value(ClassAgreement(), a.log_softmax(1), b.log_softmax(1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_class_agreement_of_positions(axis):
    a, b = logits(6 * 8, 5, 0).view(6, 8, 5), logits(6 * 8, 5, 1).view(6, 8, 5)
    p = softmax(b.flatten(0, 1))
    expected = -np.log(p[np.arange(48), a.flatten(0, 1).numpy().argmax(1)]).mean()
    if axis == 1:
        a, b = a.transpose(1, 2), b.transpose(1, 2)
    assert value(ClassAgreement(axis), a, b) == pytest.approx(expected, rel=1e-5)


def test_label_agreement():
    a, b = logits(seed=0), logits(seed=1)
    p = 1 / (1 + np.exp(-b.double().numpy()))
    labels = a.numpy() > 0
    expected = -np.where(labels, np.log(p), np.log(1 - p)).mean()
    assert value(LabelAgreement(), a, b) == pytest.approx(expected, rel=1e-5)
    assert value(LabelAgreement(is_probability=True), a.sigmoid(), b.sigmoid()) == pytest.approx(expected, rel=1e-4)


def test_cosine_distance():
    a, b = logits(seed=0).view(40, 5, 1), logits(seed=1).view(40, 5, 1)
    x, y = a.double().numpy()[..., 0], b.double().numpy()[..., 0]
    cosine = (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
    assert value(CosineDistance(), a, b) == pytest.approx((1 - cosine).mean(), rel=1e-6)
    assert value(CosineDistance(), a, 3 * a) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_relative_change(shape):
    a, b = torch.randn(shape), torch.randn(shape)
    x, y = a.double().numpy(), b.double().numpy()
    assert value(RelativeChange(), a, b) == pytest.approx(((x - y) ** 2).sum() / (x**2).sum(), rel=1e-6)
