"""Every function of outputs against float64 formulas: dtypes, masked classes, NaN, infinities, few samples."""

import math

import numpy as np
import pytest
import torch
from scipy.special import entr, log_softmax, rel_entr

from lightning_factorlens.linalg.row_sums import sums_to_one
from lightning_factorlens.metrics.agreement import ClassAgreement, CosineDistance, LabelAgreement, RelativeChange
from lightning_factorlens.metrics.confidence import confidence, entropy, kl_to_uniform, mutual_information
from lightning_factorlens.metrics.consistency import consistency, pseudo_label_cross_entropy
from lightning_factorlens.metrics.nuclear_norm import nuclear_norm
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes
from lightning_factorlens.metrics.probabilities import clip_negative, count_missing, log_probabilities
from lightning_factorlens.metrics.rankme import rankme
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble

NAN, INF = math.nan, math.inf
ONE_ARGUMENT = {
    "confidence": (confidence, lambda p: p.max(1).mean()),
    "entropy": (entropy, lambda p: entr(p).sum(1).mean()),
    "mutual_information": (mutual_information, lambda p: entr(p.mean(0)).sum() - entr(p).sum(1).mean()),
    "kl_to_uniform": (kl_to_uniform, lambda p: rel_entr(p.mean(0), 1 / p.shape[1]).sum()),
    "nuclear_norm": (nuclear_norm, lambda p: np.linalg.svd(p)[1].sum() / math.sqrt(len(p) * min(p.shape))),
}


def oracle_consistency(p, q):
    cross_entropy = -np.log(q[np.arange(len(p)), p.argmax(1)]).mean()
    return cross_entropy + rel_entr(p.mean(0), 1 / p.shape[1]).sum()


TWO_ARGUMENTS = {
    "consistency": (consistency, oracle_consistency),
    "prediction_changes": (prediction_changes, lambda p, q: (p.argmax(1) != q.argmax(1)).mean()),
    "mean_total_variation": (mean_total_variation, lambda p, q: 0.5 * np.abs(p - q).sum(1).mean()),
}


def logits(n=40, k=10, seed=0, scale=4.0):
    return scale * torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(n=40, k=10, scale=4.0):
    z = logits(n, k, scale=scale)
    return z, z + 0.1 * scale * logits(n, k, 1, 1.0)


def softmax(z):
    return np.exp(log_softmax(z.double().numpy(), axis=1))


def rounding(dtype):
    return {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]


def check(z, y, expected_p, expected_q, **tolerance):
    for name, (function, oracle) in ONE_ARGUMENT.items():
        assert function(z) == pytest.approx(oracle(expected_p), **tolerance), name
    for name, (function, oracle) in TWO_ARGUMENTS.items():
        assert function(z, y) == pytest.approx(oracle(expected_p, expected_q), **tolerance), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k", [2, 10, 300])
def test_probabilities_of_every_dtype_equal_the_formulas(dtype, k):
    z, y = pair(k=k)
    p, q = z.softmax(1).to(dtype), y.softmax(1).to(dtype)
    exact_p, exact_q = p.double().numpy(), q.double().numpy()
    exact_p = exact_p / exact_p.sum(1, keepdims=True)
    exact_q = exact_q / exact_q.sum(1, keepdims=True)
    check(p, q, exact_p, exact_q, rel=1e-5, abs=1e-6)
    check(p.float(), q.float(), exact_p, exact_q, rel=1e-5, abs=1e-6)
    for name, (function, oracle) in ONE_ARGUMENT.items():
        assert function(p) == pytest.approx(oracle(softmax(z)), rel=rounding(dtype), abs=rounding(dtype)), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_logits_equal_the_formulas_over_scales(dtype, scale, n):
    z, y = (outputs.to(dtype) for outputs in pair(n, scale=scale))
    with np.errstate(divide="ignore"):
        cross_entropy = -log_softmax(y.double().numpy(), axis=1)[np.arange(n), z.argmax(1).numpy()].mean()
    p, q = softmax(z), softmax(y)
    expected = cross_entropy + rel_entr(p.mean(0), 0.1).sum()
    assert consistency(z, y) == pytest.approx(expected, rel=1e-5, abs=2e-6)
    for name, (function, oracle) in ONE_ARGUMENT.items():
        assert function(z) == pytest.approx(oracle(p), rel=1e-5, abs=2e-6), name
    assert mean_total_variation(z, y) == pytest.approx(0.5 * np.abs(p - q).sum(1).mean(), rel=1e-5, abs=2e-6)


def test_the_scale_of_float64_logits_may_exceed_float32():
    z = 1e300 * logits(3, 4)
    assert confidence(z) == 1.0
    assert entropy(z) == 0.0


def test_logits_of_masked_classes_are_probabilities_of_zero():
    z, y = pair(64)
    z[:, 7:] = -INF
    y[:, 7:] = -INF
    p, q = softmax(z), softmax(y)
    assert (p[:, 7:] == 0).all()
    check(z, y, p, q, rel=1e-6, abs=1e-9)
    check(z.float(), y.float(), p, q, rel=1e-5, abs=1e-6)
    total, count = ClassAgreement()(z, y)
    assert total / count == pytest.approx(oracle_consistency(p, q) - kl_to_uniform(z), rel=1e-9)


def test_a_label_that_is_masked_elsewhere_has_infinite_cross_entropy():
    z, y = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[-INF, 0.0, 0.0]])
    assert consistency(z, y) == INF
    assert pseudo_label_cross_entropy(torch.tensor([1]), [y]) == pytest.approx(math.log(2))


def broken(value, row=3, column=2, n=64):
    z = logits(n).float()
    z[row, column] = value
    return z


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("n", [1, 2, 64])
def test_one_answer_that_is_no_prediction_leaves_no_value(value, n):
    z, good = broken(value, min(3, n - 1), n=n), logits(n, seed=5).float()
    assert count_missing(z) == 1
    for name, (function, _) in ONE_ARGUMENT.items():
        assert math.isnan(function(z)), name
    for name, (function, _) in TWO_ARGUMENTS.items():
        assert math.isnan(function(z, good)), name
        assert math.isnan(function(good, z)), name
    assert math.isnan(rankme(z))
    assert math.isnan(ClassAgreement()(z, good)[0])
    assert math.isnan(ClassAgreement()(good, z)[0])


@pytest.mark.parametrize("column", range(10))
def test_a_nan_among_probabilities_leaves_no_value_wherever_it_is(column):
    p, q = logits(64).softmax(1), logits(64, seed=3).softmax(1)
    p[3, column] = NAN
    for name, (function, _) in ONE_ARGUMENT.items():
        assert math.isnan(function(p)), name
        assert math.isnan(function(p, is_probability=True)), name
    for name, (function, _) in TWO_ARGUMENTS.items():
        assert math.isnan(function(p, q)), name
        assert math.isnan(function(q, p)), name


def test_without_outputs_there_is_no_value():
    empty = torch.zeros(0, 4)
    for name, (function, _) in ONE_ARGUMENT.items():
        assert math.isnan(function(empty)), name
    for name, (function, _) in TWO_ARGUMENTS.items():
        assert math.isnan(function(empty, empty)), name
    assert count_missing(empty) == 0


def test_dead_networks_have_the_values_of_their_constant_answers():
    z = torch.zeros(5, 4)
    p = np.full((5, 4), 0.25)
    check(z, z, p, p, rel=1e-6, abs=1e-7)


def test_what_is_said_to_be_logits_is_not_read_as_probabilities():
    z = torch.tensor([[0.6, 0.4], [0.5, 0.5]])
    assert confidence(z) == pytest.approx(0.55)
    assert confidence(z, is_probability=False) == pytest.approx(softmax(z).max(1).mean(), rel=1e-6)
    assert log_probabilities(z, True).exp().allclose(z)


def test_labels_without_a_prediction_are_unknown():
    ensemble = TemporalEnsemble()
    labels = ensemble.update(broken(NAN))
    assert labels[3] == -1
    assert (labels >= 0).sum() == 63
    assert ensemble.average is None
    assert math.isnan(pseudo_label_cross_entropy(labels, [logits(64)]))


@pytest.mark.parametrize("agreement", [LabelAgreement(), LabelAgreement(True), CosineDistance(), RelativeChange()])
def test_agreements_have_no_value_where_an_output_is_nan(agreement):
    z = torch.rand(8, 3)
    bad = z.clone()
    bad[2, 1] = NAN
    for first, second in ((bad, z), (z, bad)):
        total, weight = agreement(first, second)
        assert math.isnan(total / weight)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_cosine_distance_does_not_depend_on_the_scale(scale):
    a, b = logits(6, 4).float() * scale, logits(6, 4, 1).float() * scale
    x, y = a.double().numpy(), b.double().numpy()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    cosines = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    total, count = CosineDistance()(a, b)
    assert total / count == pytest.approx((1 - cosines).mean(), rel=1e-9)
    assert CosineDistance()(a, a)[0] == pytest.approx(0, abs=1e-12)


def test_outputs_of_zeros_have_no_direction():
    zero, other = torch.zeros(1, 3), torch.ones(1, 3)
    assert CosineDistance()(zero, zero)[0] == 0.0
    assert CosineDistance()(zero, other)[0] == 1.0


def test_masked_labels_have_a_cross_entropy_of_zero():
    z = torch.tensor([[-INF, 2.0]])
    assert LabelAgreement()(z, z)[0] == pytest.approx(math.log1p(math.exp(-2.0)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("position", [(0, 0), (2, 1), (5, 3)])
def test_probabilities_that_are_not_finite_are_no_prediction(position, value, dtype):
    good, bad = logits(6, 4).to(dtype).softmax(1), logits(6, 4).to(dtype).softmax(1)
    bad[position] = value
    assert log_probabilities(bad, True)[position[0]].isnan().all()
    assert int(log_probabilities(bad, True).isnan().any(1).sum()) == 1
    for first, second in ((good, bad), (bad, good)):
        assert math.isnan(consistency(first, second, is_probability=True))
        for agreement in (ClassAgreement(1, True), LabelAgreement(True)):
            total, count = agreement(first, second)
            assert math.isnan(total / count)


def test_probabilities_whose_sum_overflows_or_is_not_positive_are_no_prediction():
    scores = torch.tensor([[3e38, 3e38], [0.0, 0.0], [-0.5, -0.5], [0.25, 0.75]])
    assert log_probabilities(scores, True).isnan().all(1).tolist() == [True, True, True, False]


@pytest.mark.parametrize("value", [NAN, INF])
def test_labels_of_infinite_logits_are_unknown(value):
    good, bad = logits(6, 4), logits(6, 4)
    bad[5, 3] = value
    for first, second in ((good, bad), (bad, good)):
        total, count = LabelAgreement()(first, second)
        assert math.isnan(total / count)


def test_one_hot_integers_are_probabilities_and_counts_are_not():
    assert sums_to_one(torch.eye(3, dtype=torch.int64))
    assert not sums_to_one(torch.tensor([[300, 257], [1, 0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_agreements_compute_half_precision_in_float32(dtype):
    a, b = logits(20, 4).to(dtype), logits(20, 4, 1).to(dtype)
    for agreement in (ClassAgreement(), LabelAgreement(), CosineDistance(), RelativeChange()):
        assert agreement(a, b) == pytest.approx(agreement(a.double(), b.double()), rel=1e-5)
    p, q = a.softmax(1), b.softmax(1)
    for agreement in (ClassAgreement(is_probability=True), LabelAgreement(True)):
        assert agreement(p, q) == pytest.approx(agreement(p.double(), q.double()), rel=1e-4)


def test_clipping_keeps_nan():
    assert (clip_negative(-1e-17), clip_negative(2.0), clip_negative(INF)) == (0.0, 2.0, INF)
    assert math.isnan(clip_negative(NAN))
