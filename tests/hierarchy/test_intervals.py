import torch
from scipy.stats import binomtest

from lightning_factorlens.hierarchy.intervals import wilson_interval


def test_the_interval_is_scipys():
    for n in (1, 2, 12, 50, 999):
        counts = torch.arange(n + 1)[:: max(n // 7, 1)]
        for confidence in (0.5, 0.95, 0.999):
            lower, upper = wilson_interval(counts, torch.tensor(n), confidence)
            for index, count in enumerate(counts.tolist()):
                expected = binomtest(count, n).proportion_ci(confidence, method="wilson")
                assert abs(float(lower[index]) - expected.low) < 1e-12
                assert abs(float(upper[index]) - expected.high) < 1e-12
