"""Consistency of the predictions against a slow float64 version of its formula."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from outputs import logits, softmax

from lightning_factorlens.metrics import torchmetrics
from lightning_factorlens.metrics.consistency import (
    alternating_shift,
    consistency,
    default_shift,
    pseudo_label_cross_entropy,
)
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble


def slow_consistency(outputs, shifted, labels=None):
    """−mean_i log p(ỹ_i | T x_i) + KL(p̄ ‖ uniform), one sample after the other."""
    p = softmax(outputs)
    q = softmax(shifted)
    total = 0.0
    for i in range(len(p)):
        label = p[i].argmax() if labels is None else int(labels[i])
        total -= math.log(q[i, label])
    mean = p.mean(0)
    kl = sum(m * math.log(m * len(mean)) for m in mean if m > 0)
    return total / len(p) + kl


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(2, 12), st.integers(0, 999), st.floats(0.1, 5), st.booleans())
def test_it_is_its_formula(n, k, seed, scale, has_labels):
    outputs, shifted = logits(n, k, seed, scale), logits(n, k, seed + 1, scale)
    labels = logits(n, k, seed + 2).argmax(1) if has_labels else None
    expected = slow_consistency(outputs, shifted, labels)
    assert consistency(outputs, shifted, labels) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    metric = torchmetrics.Consistency()
    for batch in torch.arange(n).split(7):
        metric.update(outputs[batch], shifted[batch], None if labels is None else labels[batch])
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_over_a_run_of_observations_with_pseudo_labels():
    """The average of all predictions so far gives the labels: m = 0.8, the value that the lens uses."""
    ensemble = TemporalEnsemble()
    average = None
    for seed in range(6):
        outputs, shifted = logits(seed=seed, scale=1.0), logits(seed=seed + 100, scale=1.0)
        p = softmax(outputs)
        average = p if average is None else 0.8 * average + 0.2 * p
        expected = slow_consistency(outputs, shifted, average.argmax(1))
        assert consistency(outputs, shifted, ensemble.update(outputs)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("convert", [lambda x: x.log_softmax(1), lambda x: x.softmax(1)], ids=["log", "probabilities"])
def test_outputs_may_be_logits_log_probabilities_or_probabilities(convert):
    outputs, shifted = logits(), logits(seed=1)
    assert consistency(convert(outputs), convert(shifted)) == pytest.approx(consistency(outputs, shifted), rel=1e-4)


def test_a_network_that_always_gives_the_same_answer_is_not_consistent():
    same = torch.tensor([[50.0, 0.0, 0.0]]).repeat(9, 1)
    assert consistency(same, same) == pytest.approx(math.log(3))
    balanced = 50.0 * torch.eye(3).repeat(3, 1)
    assert consistency(balanced, balanced) == pytest.approx(0, abs=1e-6)


def test_pseudo_label_cross_entropy_is_the_cross_entropy():
    outputs = [logits(seed=seed) for seed in range(3)]
    labels = torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(9))
    expected = sum(torch.nn.functional.cross_entropy(z.double(), labels) for z in outputs) / 3
    assert pseudo_label_cross_entropy(labels, outputs) == pytest.approx(float(expected), rel=1e-6)


def test_pseudo_label_cross_entropy_with_the_predicted_classes():
    outputs, shifted = logits(), logits(seed=1)
    labels = outputs.argmax(1)
    log_p = torch.stack([shifted, outputs]).double().log_softmax(-1)
    expected = -log_p[:, torch.arange(len(outputs)), labels].mean()
    assert pseudo_label_cross_entropy(labels, [shifted, outputs]) == pytest.approx(float(expected), rel=1e-6)


def test_images_are_shifted_in_alternating_directions():
    images = torch.arange(4 * 25.0).reshape(4, 1, 5, 5)
    shifted = alternating_shift(images, 2)
    for i in range(4):
        pixels = 2 if i % 2 == 0 else -2
        expected = np.roll(images[i, 0].numpy(), (pixels, pixels), (0, 1))
        assert np.array_equal(shifted[i, 0].numpy(), expected)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1, 28, 28), 1),
        ((1, 3, 32, 32), 2),
        ((1, 3, 224, 64), 4),
        ((1, 1, 4, 4), 1),
        ((1, 1, 3, 9), None),
        ((1, 9), None),
    ],
)
def test_the_default_shift_is_a_sixteenth_of_the_image(shape, expected):
    assert default_shift(torch.zeros(shape)) == expected
