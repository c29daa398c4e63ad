"""Signals of the study for masked classes (logits of −inf) and NaN, against float64 formulas."""

import math

import pytest
import torch

from benchmarks.stopping.signals.mixup import hard_mixup_consistency, mixup_consistency
from benchmarks.stopping.signals.prediction_consistency import (
    disagreement_rate,
    prediction_agreement_loss,
    soft_consistency,
)
from benchmarks.stopping.signals.series import divergence

PARTNER = torch.arange(64).roll(1)


def pair():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(64, 10, generator=g)
    return z, z + 0.1 * torch.randn(64, 10, generator=g)


def test_masked_classes_are_probabilities_of_zero():
    z, y = pair()
    z[:, 7:] = -math.inf
    y[:, 7:] = -math.inf
    p, q = z.double().softmax(1), y.double().softmax(1)
    xlogy = torch.special.xlogy
    soft = -0.5 * (xlogy(p, q) + xlogy(q, p)).sum(1).mean()
    assert soft_consistency(z, [y]) == pytest.approx(float(soft), rel=1e-6)
    target = 0.5 * p + 0.5 * p[PARTNER]
    mixed = (xlogy(target, target) - xlogy(target, q)).sum(1).mean()
    assert mixup_consistency(z, y, PARTNER) == pytest.approx(float(mixed), rel=1e-5)
    assert divergence(z, y) == pytest.approx(float((xlogy(p, p) - xlogy(p, q)).sum(1).mean()), rel=1e-4)


def test_one_nan_leaves_no_value():
    z, y = pair()
    z[3, 2] = math.nan
    for first, second in ((z, y), (y, z)):
        for function in (soft_consistency, disagreement_rate, prediction_agreement_loss):
            assert math.isnan(function(first, [second])), function
        for function in (mixup_consistency, hard_mixup_consistency):
            assert math.isnan(function(first, second, PARTNER)), function
