"""The bootstrap: uniform p-values where the law holds, small ones where it does not, and a σ that covers."""

import math

import numpy as np
import pytest
import torch

from lightning_factorlens.results import PowerLawFit
from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher, fit_power_law


def pareto(n, alpha, seed):
    u = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (1 - u) ** (-1 / (alpha - 1))


def exponential(n, seed):
    return 1 - torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).log()


def test_p_values_of_a_power_law_are_not_small():
    p = [goodness_of_fit(x, fit_power_law(x), draws=60).p_value for x in (pareto(200, 2.5, s) for s in range(60))]
    assert np.mean(np.array(p) <= 0.1) <= 0.2  # 0.1 expected, its standard error 0.04
    assert 0.35 < np.mean(p) < 0.65


def test_an_exponential_is_ruled_out():
    whole_tail = {"min_tail": 400}
    for seed in range(5):
        x = exponential(400, seed)
        refit = lambda y: fit_power_law(y, **whole_tail)  # noqa: E731
        assert goodness_of_fit(x, refit(x), draws=50, refit=refit).p_value <= 0.1


@pytest.mark.parametrize("alpha", [2.0, 5.0, 8.0])
def test_sigma_counts_the_choice_of_x_min(alpha):
    inside = 0
    for seed in range(150):
        x = pareto(300, alpha, seed)
        fit = fit_power_law(x)
        found = goodness_of_fit(x, fit, draws=50)
        assert found.sigma >= fit.sigma
        inside += abs(fit.alpha - alpha) <= 2 * found.sigma
    assert inside / 150 >= 0.92  # 0.95 less two standard errors


def test_values_below_the_threshold_stay_out():
    x = torch.cat([torch.zeros(50, dtype=torch.float64), pareto(80, 3.0, 0)])
    fit = fit_power_law(x)
    assert goodness_of_fit(x, fit, draws=20) == goodness_of_fit(x[50:], fit, draws=20)


def test_seed_decides_and_nothing_global_moves():
    x = pareto(100, 3.0, 1)
    fit = fit_power_law(x)
    np.random.seed(3)
    torch.manual_seed(3)
    before = (np.random.get_state()[1].copy(), torch.get_rng_state())
    first = goodness_of_fit(x, fit, draws=20, seed=5)
    assert first == goodness_of_fit(x.flip(0).view(10, 10), fit, draws=20, seed=5)
    assert first != goodness_of_fit(x, fit, draws=20, seed=6)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_other_fits_and_no_fit():
    x = pareto(15, 3.0, 0)
    assert goodness_of_fit(x, fit_like_weightwatcher(x), draws=10, refit=fit_like_weightwatcher).draws == 10
    none = goodness_of_fit(x, PowerLawFit(math.nan, math.nan, math.nan, math.nan, 0, 15, "none"))
    assert math.isnan(none.p_value)
    assert none.draws == 0


def test_draws_is_checked():
    with pytest.raises(ValueError, match="draws must be at least 1, found 0"):
        goodness_of_fit(pareto(30, 3.0, 0), fit_power_law(pareto(30, 3.0, 0)), draws=0)
