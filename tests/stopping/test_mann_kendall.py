"""The Mann–Kendall rule: its distribution against scipy's, its confidence on noise, and its power."""

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from lightning_factorlens.stopping import MannKendall, replay
from lightning_factorlens.stopping.mann_kendall import MAX_EXACT, kendall_tail


@pytest.mark.parametrize("n", [2, 3, 5, 9, 17, MAX_EXACT])
def test_the_exact_distribution_equals_scipys(n):
    g = np.random.default_rng(n)
    for order in (np.arange(n), np.arange(n)[::-1], *(g.permutation(n) for _ in range(6))):
        S = sum(int(np.sign(order[j] - order[i])) for j in range(n) for i in range(j))
        expected = kendalltau(np.arange(n), order, method="exact", alternative="greater").pvalue
        assert kendall_tail(n, S) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_the_normal_tail_continues_the_exact_one():
    for z in (0.5, 1.5, 3.0):
        n = MAX_EXACT
        S = round(z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18))
        S += (S - n * (n - 1) // 2) % 2
        sigma = math.sqrt((n + 1) * n * (2 * n + 7) / 18)
        T = round(S / math.sqrt(n * (n - 1) * (2 * n + 5) / 18) * sigma)
        assert kendall_tail(n + 1, T) == pytest.approx(kendall_tail(n, S), rel=0.15)


def test_the_confidence_holds_on_noise_and_a_turning_point_is_found():
    g = np.random.default_rng(0)
    alarms = sum(any(d.stop for d in replay(MannKendall(0.9), g.normal(size=60).tolist())) for _ in range(300))
    assert alarms <= 0.1 * 300
    t = np.arange(60)
    for seed in range(20):
        turn = np.abs(t - 20) / 10 + np.random.default_rng(seed).normal(scale=0.1, size=60)
        decisions = replay(MannKendall(0.95), turn.tolist())
        stop = [d.stop for d in decisions].index(True) + 1
        assert 25 <= stop <= 40
        assert abs(decisions[stop - 1].best_epoch - 21) <= 3
    falling = (50 - t / 2 + g.normal(size=60)).tolist()
    assert not any(d.stop for d in replay(MannKendall(0.95), falling))


def test_an_error_names_the_wrong_argument():
    with pytest.raises(ValueError, match=r"confidence: must lie between 0 and 1, found 1\.0"):
        MannKendall(1.0)
