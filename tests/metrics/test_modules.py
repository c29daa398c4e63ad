"""The torchmetrics classes: batches and processes add up to the function of all images."""

import pytest
import torch
from torchmetrics.aggregation import MeanMetric
from torchmetrics.clustering import AdjustedRandScore

from lightning_factorlens.metrics import cka, confidence, consistency, mixup, nuclear_norm, rankme, stability
from lightning_factorlens.metrics import torchmetrics as modules
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes


def logits(seed, n=50, k=4):
    return 2 * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


A, B, C = logits(0), logits(1), logits(2)
CUTS = [slice(0, 7), slice(7, 30), slice(30, 50)]


@pytest.mark.parametrize(
    ("metric", "arguments", "expected"),
    [
        (modules.Consistency, lambda s: (A[s], [B[s], C[s]]), consistency.consistency(A, [B, C])),
        (modules.SoftConsistency, lambda s: (A[s], [B[s], C[s]]), consistency.soft_consistency(A, [B, C])),
        (modules.DisagreementRate, lambda s: (A[s], [B[s], C[s]]), consistency.disagreement_rate(A, [B, C])),
        (modules.PredictionChanges, lambda s: (A[s], B[s]), prediction_changes(A, B)),
        (modules.PredictionDrift, lambda s: (A[s], B[s]), mean_total_variation(A, B)),
        (modules.Confidence, lambda s: (A[s],), confidence.confidence(A)),
        (modules.PredictionEntropy, lambda s: (A[s],), confidence.entropy(A)),
        (modules.Imbalance, lambda s: (A[s],), confidence.kl_to_uniform(A)),
        (modules.MutualInformation, lambda s: (A[s],), confidence.mutual_information(A)),
        (modules.NuclearNorm, lambda s: (A[s],), nuclear_norm.nuclear_norm(A)),
        (modules.RankMe, lambda s: (A[s],), rankme.rankme(A)),
        (modules.LinearCKA, lambda s: (A[s], B[s]), cka.linear_cka(A, B)),
        (modules.SubspaceOverlap, lambda s: (A[s], B[s]), stability.subspace_overlap(A.T, B.T)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_batches_and_processes_add_up(metric, arguments, expected):
    one, first, second = metric(), metric(), metric()
    for cut in CUTS:
        one.update(*arguments(cut))
    assert float(one.compute()) == pytest.approx(expected, rel=1e-6)
    first.update(*arguments(CUTS[0]))
    for cut in CUTS[1:]:
        second.update(*arguments(cut))
    first.merge_state(second) if hasattr(first, "merge_state") else first.update(*arguments(slice(7, 50)))
    assert float(first.compute()) == pytest.approx(expected, rel=1e-6)
    one.reset()
    one.update(*arguments(slice(0, 50)))
    assert float(one.compute()) == pytest.approx(expected, rel=1e-6)


def test_mixup_over_batches_is_the_weighted_mean_of_its_batches():
    metric, oracle = modules.MixupConsistency(), MeanMetric()
    for cut in CUTS:
        n = len(A[cut])
        partner = torch.arange(n).roll(1)
        metric.update(A[cut], B[cut], partner, 0.5)
        oracle.update(mixup.mixup_consistency(A[cut], B[cut], partner, 0.5), n)
    assert float(metric.compute()) == pytest.approx(float(oracle.compute()), rel=1e-6)


def test_our_rand_index_is_torchmetrics():
    a, b = A.argmax(1), B.argmax(1)
    assert stability.adjusted_rand_index(a, b) == pytest.approx(float(AdjustedRandScore()(a, b)), abs=1e-6)


def test_a_missing_argument_is_named():
    with pytest.raises(TypeError, match=r"LinearCKA\.update takes \(before, features\), found 1"):
        modules.LinearCKA().update(A)
