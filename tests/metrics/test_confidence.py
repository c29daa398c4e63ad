"""Confidence, entropies and balance against scipy and closed forms."""

import math

import numpy as np
import pytest
import torch
from outputs import logits, softmax
from scipy.stats import entropy as scipy_entropy

from lightning_factorlens.metrics.confidence import confidence, entropy, kl_to_uniform, mutual_information


def test_confidence_entropy_and_information():
    x = logits()
    p = softmax(x)
    assert confidence(x) == pytest.approx(p.max(1).mean(), rel=1e-6)
    assert entropy(x) == pytest.approx(scipy_entropy(p, axis=1).mean(), rel=1e-5)
    assert mutual_information(x) == pytest.approx(scipy_entropy(p.mean(0)) - scipy_entropy(p, axis=1).mean(), rel=1e-5)
    assert kl_to_uniform(x) == pytest.approx(scipy_entropy(p.mean(0), np.full(p.shape[1], 1 / p.shape[1])), rel=1e-5)
    one_hot = 200.0 * torch.eye(5).repeat(8, 1)
    assert kl_to_uniform(one_hot) == pytest.approx(0, abs=1e-6)
    assert kl_to_uniform(one_hot[:1].repeat(7, 1)) == pytest.approx(math.log(5))
    assert entropy(one_hot) == pytest.approx(0, abs=1e-6)
    assert mutual_information(one_hot) == pytest.approx(math.log(5))
    assert mutual_information(torch.zeros(7, 5)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("function", [confidence, entropy, kl_to_uniform, mutual_information])
@pytest.mark.parametrize("convert", [lambda x: x.log_softmax(1), lambda x: x.softmax(1)], ids=["log", "probabilities"])
def test_outputs_may_be_logits_log_probabilities_or_probabilities(function, convert):
    assert function(convert(logits())) == pytest.approx(function(logits()), rel=1e-4)
