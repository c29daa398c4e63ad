"""Spectra from float32 eigenvalues: the same records as in float64 within the stated bounds, or float64."""

import importlib
import math

import pytest
import torch
from torch import nn

from lightning_factorlens.linalg.float32_eigenvalues import ApproximateEigenvalues
from lightning_factorlens.results import PowerLawFit
from lightning_factorlens.spectra import SpectraCache, fit_like_weightwatcher, fit_power_law, layer_spectra
from lightning_factorlens.spectra.float32_spectra import certain_fit

module = importlib.import_module("lightning_factorlens.spectra.layer_spectra")


def linear(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight)
    return layer


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_spikes():
    return noise(256, 400) + 0.3 * noise(256, 8) @ noise(8, 400, seed=1)


def is_from_float32(spectrum, exact):
    return not torch.equal(spectrum.eigenvalues, exact.eigenvalues)


@pytest.mark.parametrize(
    "weight", [noise(300, 400), noise(400, 256, seed=1).half(), with_spikes(), noise(256, 40, 3, 3)]
)
def test_records_are_those_of_float64_within_their_bounds(weight):
    layer = linear(weight) if weight.ndim == 2 else nn.Conv2d(40, 256, 3, bias=False)
    layer.weight = nn.Parameter(weight)
    (found,) = layer_spectra(layer)
    (exact,) = layer_spectra(layer, precision="float64")
    assert is_from_float32(found, exact)
    assert abs(found.fit.alpha - exact.fit.alpha) < 1e-3
    assert abs(found.fit.ks_distance - exact.fit.ks_distance) < 1e-4
    assert (found.spikes, found.fit.n, found.fit.n_tail) == (exact.spikes, exact.fit.n, exact.fit.n_tail)
    for name in ("lambda_max", "log_lambda_max", "spectral_norm", "stable_rank", "entropy_rank", "mp_edge"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=1e-4)
    for name in ("sigma", "x_min", "alpha_corrected", "alpha_low", "alpha_high"):
        assert getattr(found.fit, name) == pytest.approx(getattr(exact.fit, name), rel=1e-4)


def test_float64_computes_what_float32_does_not_resolve():
    rank_deficient = noise(300, 40) @ noise(40, 400)
    orthogonal = torch.linalg.qr(noise(400, 300))[0].T
    with_nan = noise(300, 400)
    with_nan[3, 4] = math.nan
    weights = [
        rank_deficient,
        orthogonal,
        with_nan,
        torch.zeros(300, 400),
        1e25 * noise(300, 400),
        noise(300, 300),
        noise(300, 400).double(),
        noise(100, 400),
    ]
    model = nn.ModuleList([linear(weight) for weight in weights])
    for found, exact in zip(layer_spectra(model), layer_spectra(model, precision="float64")):
        assert torch.equal(found.eigenvalues, exact.eigenvalues)
        assert str(found) == str(exact)


def test_other_fits_and_the_slices_of_convolutions_are_computed_in_float64():
    convolution = nn.Conv2d(256, 300, 3)
    for options in ({"mode": "slices"}, {"fit": fit_like_weightwatcher}):
        (found,) = layer_spectra(convolution, **options)
        (exact,) = layer_spectra(convolution, precision="float64", **options)
        assert torch.equal(found.eigenvalues, exact.eigenvalues)
    cache = SpectraCache()
    (found,) = layer_spectra(convolution, cache=cache)
    (exact,) = layer_spectra(convolution, cache=cache, precision="float64")
    assert is_from_float32(found, exact)


@pytest.mark.parametrize("seed", range(20))
def test_no_errors_of_the_stated_size_change_a_certain_fit(seed):
    g = torch.Generator().manual_seed(seed)
    values = torch.linalg.svdvals(torch.randn(60, 90, dtype=torch.float64, generator=g)).square().flip(0)
    error = 10 ** (-2 - 4 * float(torch.rand(1, generator=g))) * float(values[0])
    found = certain_fit(ApproximateEigenvalues(values, error))
    if found is None:
        return
    for _ in range(20):
        moved = values + error * (2 * torch.rand(60, dtype=torch.float64, generator=g) - 1)
        fit = fit_power_law(moved)
        assert (fit.n_tail, fit.n) == (found.n_tail, found.n)
        assert abs(fit.alpha - found.alpha) <= 1e-3
        assert fit.alpha_corrected == pytest.approx(found.alpha_corrected, rel=1e-3)


def test_large_errors_leave_no_certain_fit():
    values = torch.linalg.svdvals(noise(60, 90).double()).square().flip(0)
    assert isinstance(certain_fit(ApproximateEigenvalues(values, 1e-12)), PowerLawFit)
    assert certain_fit(ApproximateEigenvalues(values, 1e-2)) is None


def test_unknown_precisions_are_rejected():
    with pytest.raises(ValueError, match='precision must be "mixed" or "float64", found \'float32\''):
        layer_spectra(nn.Linear(3, 3), precision="float32")
