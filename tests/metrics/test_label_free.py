"""Label-free signals against scikit-learn, torchmetrics, scipy, and slow float64 versions of their formulas."""

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

from benchmarks.stopping.signals.cka import linear_cka
from benchmarks.stopping.signals.mixup import hard_mixup_consistency, mixed_images, mixup_consistency
from benchmarks.stopping.signals.stability import adjusted_rand_index, cluster_assignment, subspace_overlap
from benchmarks.stopping.signals.two_model import model_cross_entropy, model_disagreement
from lightning_factorlens.metrics.confidence import confidence, entropy, kl_to_uniform, mutual_information
from lightning_factorlens.metrics.consistency import consistency, disagreement_rate, soft_consistency
from lightning_factorlens.metrics.nuclear_norm import nuclear_norm
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes
from lightning_factorlens.metrics.rankme import rankme


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
    assert consistency(plain, moved) == pytest.approx(np.mean([-np.log(x[rows, p.argmax(1)]) for x in q]), rel=1e-5)
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
    for function in (soft_consistency, lambda a, b: consistency(a, b), disagreement_rate):
        assert function(convert(plain), [convert(moved)]) == pytest.approx(function(plain, [moved]), rel=1e-4)
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


def slow_cka(x, y):
    n = len(x)
    x, y = x.double().flatten(1).numpy(), y.double().flatten(1).numpy()
    H = np.eye(n) - 1 / n
    hsic = lambda k, l: np.trace(k @ H @ l @ H)  # noqa: E731
    K, L = x @ x.T, y @ y.T
    return hsic(K, L) / math.sqrt(hsic(K, K) * hsic(L, L))


@pytest.mark.parametrize(("d", "e"), [(3, 4), (90, 2), (60, 70)])
def test_linear_cka(d, e):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(30, d, generator=g) + 5
    y = torch.randn(30, e, generator=g) + torch.randn(30, 1, generator=g)
    assert linear_cka(x, y) == pytest.approx(slow_cka(x, y), rel=1e-9)
    Q = torch.linalg.qr(torch.randn(d, d, generator=g))[0]
    assert linear_cka(x, 3 * x @ Q + 7) == pytest.approx(1, rel=1e-6)
    assert math.isnan(linear_cka(x, torch.ones(30, 2)))
    with pytest.raises(ValueError, match="same images, found 30 and 29"):
        linear_cka(x, y[:29])


@pytest.mark.parametrize("shape", [(40, 7), (20, 3, 4, 4), (6, 6)])
def test_rankme(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sigma = np.linalg.svd(x.double().flatten(1).numpy(), compute_uv=False)
    p = sigma / sigma.sum()
    assert rankme(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert rankme(torch.eye(9)) == pytest.approx(9)
    assert rankme(torch.ones(9, 4)) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=30))
def test_adjusted_rand_index_is_scikit_learns(pairs):
    a, b = zip(*pairs)
    assert adjusted_rand_index(torch.tensor(a), torch.tensor(b)) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def test_adjusted_rand_index_refuses_other_images():
    with pytest.raises(ValueError, match="one label an image"):
        adjusted_rand_index(torch.zeros(3), torch.zeros(4))


def test_the_row_space_is_compared_not_the_components():
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


def test_cluster_assignment_forgets_scale_and_follows_the_blocks():
    F = torch.zeros(3, 30)
    for j in range(3):
        F[j, 10 * j : 10 * (j + 1)] = 1 + torch.rand(10, generator=torch.Generator().manual_seed(j))
    truth = torch.arange(30) // 10
    found = cluster_assignment(F * torch.tensor([[100.0], [1], [0.01]]) + 1e-4)
    assert adjusted_rand_index(found, truth) == 1


def test_mixing_pairs_nobody_with_himself_and_is_a_formula():
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
    with pytest.raises(ValueError, match=r"share: must lie between 0 and 1, found 1\.0"):
        mixed_images(x, 1.0)
    with pytest.raises(ValueError, match="at least two, found 1"):
        mixed_images(x[:1])


def test_the_functions_do_not_load_torchmetrics():
    names = ["cka", "confidence", "consistency", "factor_consistency", "mixup", "nuclear_norm", "prediction_changes"]
    names += ["rankme", "second_net", "stability", "transforms", "supervised.gradient_alignment"]
    modules = ", ".join(f"lightning_factorlens.metrics.{n}" for n in names)
    code = f"import sys, {modules}; print([m for m in ('torchmetrics', 'lightning', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
