"""Vuong's test against the package powerlaw 1.5 and against maximum likelihood by SciPy."""

import contextlib
import io
import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_factorlens.results import PowerLawFit
from lightning_factorlens.spectra.likelihood_ratio import compare_power_law
from lightning_factorlens.spectra.power_law import fit_power_law


def sample(kind, n, seed):
    random = np.random.default_rng(seed)
    if kind == "lognormal":
        return torch.from_numpy(np.exp(random.normal(0.5, 1.0, n)))
    if kind == "gaussian":
        X = torch.from_numpy(random.normal(size=(n, 2 * n)))
        return torch.linalg.svdvals(X) ** 2 / n
    x = (1 - random.random(50 * n)) ** (-1 / 1.5)
    if kind == "truncated":
        x = x[random.random(50 * n) < np.exp(-0.1 * x)]
    return torch.from_numpy(x[:n])


def fit_all_values(x):
    """The fit whose tail is all values, so that the alternatives differ from a power law."""
    return fit_power_law(x, min_tail=len(x))


CASES = [(kind, n, seed) for kind in ("lognormal", "gaussian", "truncated") for n in (100, 500) for seed in (0, 1)]


@pytest.mark.parametrize(("kind", "n", "seed"), CASES)
@pytest.mark.parametrize("alternative", ["lognormal", "truncated_power_law"])
def test_ratios_equal_those_of_powerlaw(kind, n, seed, alternative):
    powerlaw = pytest.importorskip("powerlaw", "1.3")
    x = sample(kind, n, seed)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        oracle = powerlaw.Fit(x.numpy(), xmin=float(x.min()), verbose=False)
        ratio, p_value = oracle.distribution_compare("power_law", alternative)
        normalized, _ = oracle.distribution_compare("power_law", alternative, normalized_ratio=True)
        likelihood = oracle.lognormal.loglikelihood if alternative == "lognormal" else None
    found = compare_power_law(x, fit_all_values(x), alternative)
    # The simplex search of powerlaw may stop before the maximum and cannot exceed it.
    assert found.ratio <= ratio + 1e-6 * abs(ratio)
    if alternative == "truncated_power_law" and oracle.truncated_power_law.alpha < 1.01:
        return  # powerlaw bounds α at 1; without the bound the likelihood is larger
    assert likelihood is None or math.isfinite(likelihood)
    assert found.ratio == pytest.approx(ratio, rel=1e-3, abs=1e-2)
    assert found.normalized == pytest.approx(normalized, rel=1e-2, abs=1e-2)
    assert found.p_value == pytest.approx(p_value, rel=0.05, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_lognormal_likelihood_is_that_of_scipy(seed):
    optimize = pytest.importorskip("scipy.optimize")
    stats = pytest.importorskip("scipy.stats")
    x = sample("lognormal", 300, seed)
    fit = fit_power_law(x, min_tail=200)
    tail = x[x >= fit.x_min].numpy()

    def negative_log_likelihood(p):
        mu, sigma = p[0], math.exp(p[1])
        beyond = stats.norm.logsf((math.log(fit.x_min) - mu) / sigma)
        return -(stats.norm.logpdf(np.log(tail), mu, sigma) - np.log(tail) - beyond).sum()

    best = optimize.minimize(
        negative_log_likelihood,
        [0.5, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 5000},
    )
    law = (np.log(fit.alpha - 1) - np.log(fit.x_min) - fit.alpha * np.log(tail / fit.x_min)).sum()
    assert compare_power_law(x, fit, "lognormal").ratio == pytest.approx(law + best.fun, abs=1e-5)


@pytest.mark.parametrize("alternative", ["lognormal", "truncated_power_law"])
def test_a_power_law_is_rarely_rejected(alternative):
    p = []
    for seed in range(40):
        x = sample("pareto", 300, seed)
        found = compare_power_law(x, fit_all_values(x), alternative)
        assert found.ratio <= 1e-9 if alternative == "truncated_power_law" else True
        p.append(found.p_value if found.ratio < 0 else 1.0)
    assert np.mean(np.array(p) < 0.05) <= 0.15


@pytest.mark.parametrize("alternative", ["lognormal", "truncated_power_law"])
def test_scale_does_not_change_the_test(alternative):
    x = sample("truncated", 200, 3)
    small = 1e-8 * x
    expected = compare_power_law(small, fit_all_values(small), alternative)
    assert compare_power_law(x, fit_all_values(x), alternative) == pytest.approx(expected, rel=1e-6)


def test_a_missing_fit_gives_nan_and_an_unknown_alternative_an_error():
    none = PowerLawFit(math.nan, math.nan, math.nan, math.nan, 0, 0, "none")
    assert all(math.isnan(v) for v in compare_power_law(torch.ones(9), none, "lognormal"))
    x = sample("pareto", 50, 0)
    with pytest.raises(ValueError, match="alternative must be .* found 'exponential'"):
        compare_power_law(x, fit_all_values(x), "exponential")


@pytest.mark.parametrize(
    ("name", "lognormal", "truncated"),
    [("blackouts", (-0.412, 0.68), (-0.382, 0.38)), ("cities", (-0.090, 0.93), (-0.123, 0.62))],
)
def test_published_ratios_are_reproduced(name, lognormal, truncated):
    """Clauset, Shalizi and Newman (2009), table 6.3; FACTORLENS_POWERLAW_DATA: a folder like powerlaw's reference_data."""
    path = Path(os.environ.get("FACTORLENS_POWERLAW_DATA", "")) / f"{name}.txt"
    if not path.is_file():
        pytest.skip("FACTORLENS_POWERLAW_DATA names no folder with the data")
    x = torch.from_numpy(np.loadtxt(path).ravel())
    fit = fit_power_law(x)
    found = compare_power_law(x, fit, "lognormal")
    assert (found.normalized, found.p_value) == pytest.approx(lognormal, abs=0.03)
    found = compare_power_law(x, fit, "truncated_power_law")
    assert (found.ratio, found.p_value) == pytest.approx(truncated, abs=0.03)
