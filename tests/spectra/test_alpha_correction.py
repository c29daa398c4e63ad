"""Bias of α and coverage of its interval on samples of power laws whose exponent is known."""

import math

import numpy as np
import pytest
import torch

from lightning_factorlens.spectra.alpha_correction import correct_alpha
from lightning_factorlens.spectra.ks_distance import largest_plausible_tail
from lightning_factorlens.spectra.power_law import fit_power_law


def pareto(n, alpha, random):
    return torch.from_numpy((1 - random.random(n)) ** (-1 / (alpha - 1)))


@pytest.mark.parametrize("alpha", [2.0, 5.0])
@pytest.mark.parametrize("n", [20, 50])
def test_the_corrected_estimate_has_little_bias_and_its_interval_contains_alpha(n, alpha):
    random = np.random.default_rng(0)
    fits = [fit_power_law(pareto(n, alpha, random)) for _ in range(1500)]
    plain = np.mean([f.alpha for f in fits])
    corrected = np.array([f.alpha_corrected for f in fits])
    standard_error = corrected.std() / math.sqrt(len(fits))
    assert plain > alpha * (1.03 if n == 50 else 1.1)
    assert corrected.mean() == pytest.approx(alpha, abs=0.03 * alpha + 2 * standard_error)
    covered = np.mean([f.alpha_low < alpha < f.alpha_high for f in fits])
    assert 0.92 <= covered <= 0.98  # 95 % up to four standard errors; the benchmark measures it more exactly


def test_a_tail_above_another_distribution_is_not_corrected_too_much():
    random = np.random.default_rng(1)
    found = []
    for _ in range(150):
        n_tail = random.binomial(300, 0.4)
        body = torch.from_numpy(random.random(300 - n_tail))
        found.append(fit_power_law(torch.cat([pareto(n_tail, 3.0, random), body])))
    assert np.mean([f.alpha_corrected for f in found]) == pytest.approx(3, rel=0.03)
    assert np.mean([f.alpha_low < 3 < f.alpha_high for f in found]) >= 0.9


def test_with_x_min_fixed_the_estimate_is_unbiased_in_closed_form():
    found = correct_alpha(slope=2.0, n_tail=50, n_plausible=50)
    assert found.alpha == pytest.approx(1 + 2 * 48 / 50)
    gamma = pytest.importorskip("scipy.stats").gamma(50, scale=1 / 50)
    assert found.low == pytest.approx(1 + (found.alpha - 1) * gamma.ppf(0.025), rel=1e-3)
    assert found.high == pytest.approx(1 + (found.alpha - 1) * gamma.ppf(0.975), rel=1e-3)


def test_leaving_out_plausible_values_lowers_and_widens():
    all_of_them = correct_alpha(2.0, 50, 50)
    half = correct_alpha(2.0, 50, 100)
    assert half.alpha < all_of_them.alpha
    assert half.high - half.low > all_of_them.high - all_of_them.low


@pytest.mark.parametrize("n_tail", [2, 3])
def test_tails_of_fewer_than_four_values_have_no_corrected_estimate(n_tail):
    assert all(map(math.isnan, correct_alpha(2.0, n_tail, 20)))


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1.0, 1e30])
def test_scale_and_powers_do_not_matter(scale):
    x = pareto(60, 3.0, np.random.default_rng(2))
    plain, scaled, squared = fit_power_law(x), fit_power_law(x * scale), fit_power_law(x**2, threshold=0)
    for field in ("alpha_corrected", "alpha_low", "alpha_high"):
        assert getattr(scaled, field) == pytest.approx(getattr(plain, field), rel=1e-9)
        assert getattr(squared, field) - 1 == pytest.approx((getattr(plain, field) - 1) / 2, rel=1e-9)


def test_the_small_sample_rule_of_weightwatcher_changes_only_the_plain_estimate():
    x = pareto(15, 3.0, np.random.default_rng(3))
    plain = fit_power_law(x, min_tail=8)
    small = fit_power_law(x, small_sample=True)
    assert small.n_tail == plain.n_tail
    assert small.alpha < plain.alpha
    assert small.alpha_corrected == pytest.approx(plain.alpha_corrected)


def test_the_plausible_tail_ends_where_the_law_does():
    law = -np.log(1 - np.arange(200) / 200)  # the quantiles of a power law with α = 2
    body = np.linspace(-0.05, 0, 300, endpoint=False)  # 300 values just below x_min
    log_x = np.concatenate([body, law])
    n = log_x.size
    n_in_tail = np.arange(n, 0, -1.0)
    sums = np.cumsum(log_x[::-1])[::-1] - n_in_tail * log_x
    slope = n_in_tail / np.maximum(sums, 1e-9)
    found = largest_plausible_tail(log_x, np.arange(float(n)), slope, np.arange(n - 2), n, n_tail=100).size
    assert 180 <= found <= 240
    assert largest_plausible_tail(log_x, np.arange(float(n)), slope, np.arange(n - 2), n, n_tail=n).size == n
