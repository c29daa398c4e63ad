"""The bootstrap: uniform p-values for power laws, small ones for other laws, and the coverage of its standard error."""

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
    p = []
    for seed in range(60):
        x = pareto(200, 2.5, seed)
        p.append(goodness_of_fit(x, fit_power_law(x), draws=60).p_value)
    assert np.mean(np.array(p) <= 0.1) <= 0.2  # 0.1 expected, its standard error 0.04
    assert 0.35 < np.mean(p) < 0.65


def test_an_exponential_is_rejected():
    whole_tail = {"min_tail": 400}
    for seed in range(5):
        x = exponential(400, seed)
        refit = lambda y: fit_power_law(y, **whole_tail)  # noqa: E731
        assert goodness_of_fit(x, refit(x), draws=50, refit=refit).p_value <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "alpha", [2.0, pytest.param(5.0, marks=pytest.mark.slow), pytest.param(8.0, marks=pytest.mark.slow)]
)
def test_sigma_includes_the_choice_of_x_min(alpha):
    inside = 0
    for seed in range(150):
        x = pareto(300, alpha, seed)
        fit = fit_power_law(x)
        found = goodness_of_fit(x, fit, draws=50)
        assert found.sigma >= fit.sigma
        inside += abs(fit.alpha - alpha) <= 2 * found.sigma
    assert inside / 150 >= 0.92  # 0.95 less two standard errors


def test_values_below_the_threshold_are_ignored():
    x = torch.cat([torch.zeros(50, dtype=torch.float64), pareto(80, 3.0, 0)])
    fit = fit_power_law(x)
    assert goodness_of_fit(x, fit, draws=20) == goodness_of_fit(x[50:], fit, draws=20)


def test_the_seed_determines_the_result_and_global_random_states_stay():
    x = pareto(100, 3.0, 1)
    fit = fit_power_law(x)
    np.random.seed(3)
    torch.manual_seed(3)
    numpy_state = np.random.get_state()[1].copy()
    torch_state = torch.get_rng_state()
    first = goodness_of_fit(x, fit, draws=20, seed=5)
    assert first == goodness_of_fit(x.flip(0).view(10, 10), fit, draws=20, seed=5)
    assert first != goodness_of_fit(x, fit, draws=20, seed=6)
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())


def test_another_fit_can_be_used_and_a_missing_fit_gives_nan():
    x = pareto(15, 3.0, 0)
    assert goodness_of_fit(x, fit_like_weightwatcher(x), draws=10, refit=fit_like_weightwatcher).draws == 10
    none = goodness_of_fit(x, PowerLawFit(math.nan, math.nan, math.nan, math.nan, 0, 15, "none"))
    assert math.isnan(none.p_value)
    assert none.draws == 0


def test_draws_is_checked():
    with pytest.raises(ValueError, match="draws must be at least 1, found 0"):
        goodness_of_fit(pareto(30, 3.0, 0), fit_power_law(pareto(30, 3.0, 0)), draws=0)
