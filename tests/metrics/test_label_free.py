"""Label-free metrics against scipy and slow float64 versions of their formulas."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from lightning_factorlens.metrics.confidence import confidence, entropy, kl_to_uniform, mutual_information
from lightning_factorlens.metrics.consistency import consistency
from lightning_factorlens.metrics.nuclear_norm import nuclear_norm
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes
from lightning_factorlens.metrics.rankme import rankme


def logits(n=40, k=5, seed=0, scale=3.0):
    return scale * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def softmax(x):
    x = x.double().numpy()
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("form", ["logits", "log", "probabilities"])
def test_outputs_may_be_logits_log_probabilities_or_probabilities(form):
    convert = {"logits": lambda x: x, "log": lambda x: x.log_softmax(1), "probabilities": lambda x: x.softmax(1)}[form]
    plain, moved = logits(), logits(seed=1)
    assert consistency(convert(plain), convert(moved)) == pytest.approx(consistency(plain, moved), rel=1e-4)
    for function in (confidence, entropy, kl_to_uniform, mutual_information, nuclear_norm):
        assert function(convert(plain)) == pytest.approx(function(plain), rel=1e-4)


def test_confidence_entropy_and_information():
    from scipy.stats import entropy as scipy_entropy

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


def test_nuclear_norm_reaches_its_bound_for_sure_and_balanced_predictions():
    x = logits()
    assert nuclear_norm(x) == pytest.approx(np.linalg.norm(softmax(x), "nuc") / math.sqrt(40 * 5), rel=1e-6)
    assert nuclear_norm(200.0 * torch.eye(5).repeat(8, 1)) == pytest.approx(1, rel=1e-6)
    assert nuclear_norm(200.0 * torch.eye(5)[:1].repeat(40, 1)) < 0.5


def test_prediction_changes_and_drift():
    a, b = logits(), logits(seed=1)
    assert prediction_changes(a, b) == np.mean(softmax(a).argmax(1) != softmax(b).argmax(1))
    assert mean_total_variation(a, b) == pytest.approx(0.5 * np.abs(softmax(a) - softmax(b)).sum(1).mean(), rel=1e-5)
    assert prediction_changes(a, 2 * a) == 0 < mean_total_variation(a, 2 * a)


@pytest.mark.parametrize("shape", [(40, 7), (20, 3, 4, 4), (6, 6)])
def test_rankme(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sigma = np.linalg.svd(x.double().flatten(1).numpy(), compute_uv=False)
    p = sigma / sigma.sum()
    assert rankme(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert rankme(torch.eye(9)) == pytest.approx(9)
    assert rankme(torch.ones(9, 4)) == pytest.approx(1)


def test_the_functions_do_not_load_torchmetrics():
    names = ["confidence", "consistency", "nuclear_norm", "prediction_changes", "rankme", "temporal_ensemble"]
    modules = ", ".join(f"lightning_factorlens.metrics.{n}" for n in names)
    code = f"import sys, {modules}; print([m for m in ('torchmetrics', 'lightning', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
