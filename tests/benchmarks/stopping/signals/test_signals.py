"""The study's signals against scikit-learn, torchmetrics, scipy, and slow float64 versions of their formulas."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torchmetrics.clustering import AdjustedRandScore

from benchmarks.reporting import ROOT, subprocess_environment
from benchmarks.stopping.signals.cka import linear_cka, unbiased_linear_cka
from benchmarks.stopping.signals.mixup import hard_mixup_consistency, mixed_images, mixup_consistency
from benchmarks.stopping.signals.prediction_consistency import (
    disagreement_rate,
    prediction_agreement_loss,
    soft_consistency,
)
from benchmarks.stopping.signals.stability import adjusted_rand_index, cluster_assignment, subspace_overlap
from benchmarks.stopping.signals.two_model import model_cross_entropy, model_disagreement
from lightning_factorlens.metrics.confidence import entropy


def logits(n=40, k=5, seed=0, scale=3.0):
    return scale * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def softmax(x):
    x = x.double().numpy()
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_reductions_of_consistency_are_their_formulas():
    plain, moved = logits(), [logits(seed=1), logits(seed=2)]
    p, q = softmax(plain), [softmax(m) for m in moved]
    rows = np.arange(len(p))
    hard = np.mean([-np.log(x[rows, p.argmax(1)]) for x in q])
    assert prediction_agreement_loss(plain, moved) == pytest.approx(hard, rel=1e-5)
    soft = np.mean([-0.5 * (p * np.log(x) + x * np.log(p)).sum(1) for x in q])
    assert soft_consistency(plain, moved) == pytest.approx(soft, rel=1e-5)
    changed = np.mean([x.argmax(1) != p.argmax(1) for x in q])
    assert disagreement_rate(plain, moved) == changed > 0
    assert model_disagreement(plain, moved[0]) == np.mean(q[0].argmax(1) != p.argmax(1))
    assert model_cross_entropy(plain, moved[0]) == soft_consistency(plain, moved[:1])


def test_equal_predictions_give_their_entropy_and_no_disagreement():
    plain = logits()
    assert soft_consistency(plain, [plain]) == pytest.approx(entropy(plain), rel=1e-5)
    assert disagreement_rate(plain, [plain, 2 * plain]) == 0


@pytest.mark.parametrize("form", ["logits", "log", "probabilities"])
def test_outputs_may_be_logits_log_probabilities_or_probabilities(form):
    convert = {"logits": lambda x: x, "log": lambda x: x.log_softmax(1), "probabilities": lambda x: x.softmax(1)}[form]
    plain, moved = logits(), logits(seed=1)
    for function in (soft_consistency, prediction_agreement_loss, disagreement_rate):
        assert function(convert(plain), [convert(moved)]) == pytest.approx(function(plain, [moved]), rel=1e-4)


def slow_cka(x, y):
    n = len(x)
    x, y = x.double().flatten(1).numpy(), y.double().flatten(1).numpy()
    H = np.eye(n) - 1 / n
    hsic = lambda k, l: np.trace(k @ H @ l @ H)  # noqa: E731
    K, L = x @ x.T, y @ y.T
    return hsic(K, L) / math.sqrt(hsic(K, K) * hsic(L, L))


@pytest.mark.parametrize(("d", "e"), [(3, 4), (90, 2), (60, 70)])
def test_linear_cka_is_its_formula_and_invariant_to_rotation_and_scale(d, e):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(30, d, generator=g) + 5
    y = torch.randn(30, e, generator=g) + torch.randn(30, 1, generator=g)
    assert linear_cka(x, y) == pytest.approx(slow_cka(x, y), rel=1e-9)
    Q = torch.linalg.qr(torch.randn(d, d, generator=g))[0]
    assert linear_cka(x, 3 * x @ Q + 7) == pytest.approx(1, rel=1e-6)
    assert math.isnan(linear_cka(x, torch.ones(30, 2)))
    with pytest.raises(ValueError, match="same images, found 30 and 29"):
        linear_cka(x, y[:29])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=30))
def test_adjusted_rand_index_is_that_of_scikit_learn(pairs):
    a, b = zip(*pairs)
    assert adjusted_rand_index(torch.tensor(a), torch.tensor(b)) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def test_adjusted_rand_index_is_that_of_torchmetrics():
    a, b = logits(50, 4, 0).argmax(1), logits(50, 4, 1).argmax(1)
    assert adjusted_rand_index(a, b) == pytest.approx(float(AdjustedRandScore()(a, b)), abs=1e-6)


def test_adjusted_rand_index_rejects_partitions_of_different_length():
    with pytest.raises(ValueError, match="one label per image"):
        adjusted_rand_index(torch.zeros(3), torch.zeros(4))


def test_subspace_overlap_compares_row_spaces_and_not_components():
    g = torch.Generator().manual_seed(0)
    F = torch.rand(4, 30, generator=g)
    mixing = torch.rand(4, 4, generator=g)
    assert subspace_overlap(F, F[[2, 0, 3, 1]] * torch.tensor([[1.0], [9], [2], [5]])) == pytest.approx(1)
    assert subspace_overlap(F, mixing @ F) == pytest.approx(1)
    assert subspace_overlap(F[:2], F) == pytest.approx(1)
    apart = torch.zeros(4, 30)
    apart[:2, :15], apart[2:, 15:] = F[:2, :15], F[2:, 15:]
    assert subspace_overlap(apart[:2], apart[2:]) == pytest.approx(0, abs=1e-9)
    other = torch.rand(3, 30, generator=g)
    angles = scipy.linalg.subspace_angles(F.double().numpy().T, other.double().numpy().T)
    assert subspace_overlap(F, other) == pytest.approx(np.mean(np.cos(angles) ** 2), rel=1e-9)
    assert math.isnan(subspace_overlap(F, torch.zeros(2, 30)))


def test_cluster_assignment_ignores_scale_and_follows_planted_blocks():
    F = torch.zeros(3, 30)
    for j in range(3):
        F[j, 10 * j : 10 * (j + 1)] = 1 + torch.rand(10, generator=torch.Generator().manual_seed(j))
    truth = torch.arange(30) // 10
    found = cluster_assignment(F * torch.tensor([[100.0], [1], [0.01]]) + 1e-4)
    assert adjusted_rand_index(found, truth) == 1


def test_mixing_never_pairs_an_image_with_itself_and_mixup_consistency_is_its_formula():
    x = torch.rand(11, 1, 4, 4)
    mixed, partner = mixed_images(x, 0.3, seed=2)
    assert sorted(partner.tolist()) == list(range(11))
    assert (partner != torch.arange(11)).all()
    assert torch.allclose(mixed[4], 0.3 * x[4] + 0.7 * x[partner[4]])
    assert torch.equal(mixed_images(x, 0.3, seed=2)[0], mixed)
    a, b = logits(11), logits(11, seed=1)
    p, q = softmax(a), softmax(b)
    target = 0.3 * p + 0.7 * p[partner]
    kl = (target * np.log(target / q)).sum(1).mean()
    assert mixup_consistency(a, b, partner, 0.3) == pytest.approx(kl, rel=1e-5)
    rows = np.arange(11)
    hard = -(0.3 * np.log(q[rows, p.argmax(1)]) + 0.7 * np.log(q[rows, p.argmax(1)[partner]])).mean()
    assert hard_mixup_consistency(a, b, partner, 0.3) == pytest.approx(hard, rel=1e-5)
    linear = (0.3 * torch.from_numpy(p) + 0.7 * torch.from_numpy(p[partner])).float()
    assert mixup_consistency(a, linear, partner, 0.3) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"fraction: must lie between 0 and 1, found 1\.0"):
        mixed_images(x, 1.0)
    with pytest.raises(ValueError, match="at least two images, found 1"):
        mixed_images(x[:1])


def test_the_signals_do_not_import_torchmetrics_lightning_or_scipy():
    names = ["cka", "factor_consistency", "mixup", "prediction_consistency", "stability", "transforms", "two_model"]
    names += ["supervised.gradient_alignment"]
    modules = ", ".join(f"benchmarks.stopping.signals.{n}" for n in names)
    code = f"import sys, {modules}; print([m for m in ('torchmetrics', 'lightning', 'scipy') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=subprocess_environment(), cwd=ROOT
    ).stdout
    assert out.strip() == "[]"


def slow_unbiased_cka(x, y):
    """Means of products over all ordered quadruples of distinct images."""
    x, y = x.double().flatten(1).numpy(), y.double().flatten(1).numpy()
    quadruples = np.array(list(itertools.permutations(range(len(x)), 4))).T

    def hsic(K, L):
        i, j, k, l = quadruples
        return np.mean(K[i, j] * (L[i, j] + L[k, l] - 2 * L[i, k]))

    K, L = x @ x.T, y @ y.T
    return hsic(K, L) / math.sqrt(hsic(K, K) * hsic(L, L))


@pytest.mark.parametrize("n", [4, 5, 8])
def test_unbiased_cka_is_the_mean_over_quadruples(n):
    g = torch.Generator().manual_seed(n)
    x = torch.randn(n, 3, generator=g)
    y = x[:, :2] + 0.1 * torch.randn(n, 2, generator=g)
    assert unbiased_linear_cka(x, y) == pytest.approx(slow_unbiased_cka(x, y), rel=1e-9)


def test_independent_wide_features_are_similar_only_to_the_biased_estimator():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(256, 512, generator=g), torch.randn(256, 512, generator=g)
    assert linear_cka(x, y) == pytest.approx(0.67, abs=0.02)
    assert abs(unbiased_linear_cka(x, y)) < 0.02
    assert unbiased_linear_cka(x, x) == pytest.approx(1)


@pytest.mark.parametrize("function", [linear_cka, unbiased_linear_cka])
def test_cka_of_any_scale_and_without_values(function):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(9, 4, generator=g, dtype=torch.float64), torch.randn(9, 5, generator=g, dtype=torch.float64)
    for scale in (1e-200, 1e-30, 1e30, 1e200):
        assert function(x * scale, y) == pytest.approx(function(x, y), rel=1e-9)
    assert math.isnan(function(x, torch.full((9, 2), 0.1)))
    for bad in (math.nan, math.inf):
        broken = x.clone()
        broken[2, 1] = bad
        assert math.isnan(function(broken, y))
    assert math.isnan(function(x[:1], y[:1]))
    assert math.isnan(unbiased_linear_cka(x[:3], y[:3]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [2.0**-10, 1.0, 2.0**10])
def test_the_overlap_of_a_space_with_itself_is_one_in_every_dtype(dtype, scale):
    F = (torch.rand(4, 64, generator=torch.Generator().manual_seed(0)) * scale).to(dtype)
    assert subspace_overlap(F, F) == pytest.approx(1)
    other = torch.rand(3, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    angles = scipy.linalg.subspace_angles(F.double().numpy().T, other.double().numpy().T)
    assert subspace_overlap(F, other) == pytest.approx(np.mean(np.cos(angles) ** 2), rel=1e-9)


def test_the_overlap_with_nan_is_nan_and_clusters_ignore_any_scale():
    F = torch.rand(3, 9)
    broken = F.clone()
    broken[0, 0] = math.nan
    assert math.isnan(subspace_overlap(F, broken))
    assert torch.equal(cluster_assignment(F * 1e30), cluster_assignment(F))
    assert torch.equal(cluster_assignment(F * 1e-30), cluster_assignment(F))
