"""Layers whose spectrum is not a power law, or has no values: no α, a reason, and no effect on the means."""

import math

import pytest
import torch
from silence import silence
from torch import nn

from lightning_factorlens.spectra import tensor_svd
from lightning_factorlens.spectra.layer_spectra import alpha_summary, layer_spectra
from lightning_factorlens.spectra.marchenko_pastur import flat_spectrum_reason
from lightning_factorlens.spectra.power_law import fit_power_law
from lightning_factorlens.spectra.spectral_summary import squared_singular_values
from lightning_factorlens.spectra.toeplitz import circular_singular_values

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def orthogonal(rows=64, columns=64, gain=1.0):
    generator = torch.Generator().manual_seed(0)
    return nn.init.orthogonal_(torch.empty(rows, columns), gain=gain, generator=generator)


def linear(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.dtype)
    layer.weight = nn.Parameter(weight.clone())
    return layer


def beside_default(layer):
    torch.manual_seed(0)
    other = nn.Linear(64, 48)
    found, plain = layer_spectra(nn.ModuleList([layer, other]))
    assert plain.fit.reason == ""
    summary = alpha_summary((found, plain))
    assert summary.mean_alpha == plain.fit.alpha
    assert (summary.layers, summary.abstained) == (1, 1)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 2**0.5, 1e3])
@pytest.mark.parametrize("shape", [(64, 64), (30, 64), (64, 20)])
def test_orthogonal_weights_have_no_alpha(shape, scale, dtype):
    found = beside_default(linear((scale * orthogonal(*shape)).to(dtype)))
    assert math.isnan(found.fit.alpha)
    assert math.isnan(found.alpha_weighted)
    assert "power law" in found.fit.reason or "differ by more than rounding" in found.fit.reason
    assert found.stable_rank == pytest.approx(min(shape), rel=0.01)


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-6, 1e-4, 1e-3, 1e-2])
def test_an_identity_with_noise_has_no_alpha(noise):
    weight = torch.eye(64) + noise * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    found = beside_default(linear(weight))
    assert math.isnan(found.fit.alpha)
    assert found.fit.reason


@pytest.mark.parametrize("make", [nn.init.orthogonal_, nn.init.dirac_])
def test_orthogonal_convolutions_have_no_alpha(make):
    layer = nn.Conv2d(16, 64, 3)
    make(layer.weight)
    for mode in ("w1", "slices"):
        (found,) = layer_spectra(layer, mode=mode)
        if make is nn.init.dirac_ or mode == "w1":
            assert math.isnan(found.fit.alpha)
            assert found.fit.reason


def test_a_parametrized_orthogonal_weight_has_no_alpha():
    assert math.isnan(beside_default(nn.utils.parametrizations.orthogonal(nn.Linear(64, 64))).fit.alpha)


def test_some_equal_eigenvalues_are_no_power_law_either():
    """32 singular values of 1, equal up to rounding, above 32 of noise."""
    weight = torch.block_diag(orthogonal(32, 32), 0.01 * torch.randn(32, 32))
    (found,) = layer_spectra(linear(weight))
    assert not found.fit.alpha > 50


@pytest.mark.parametrize("shape", [(20, 20), (20, 4608), (64, 100), (200, 128), (8, 500), (1, 9)])
def test_noise_of_any_shape_is_not_flat(shape):
    g = torch.Generator().manual_seed(0)
    matrices = 32 if min(shape) < 8 else 1
    values = squared_singular_values(torch.randn(matrices, *shape, generator=g)).flatten()
    assert flat_spectrum_reason(values, shape) == ""
    assert math.isfinite(fit_power_law(values).alpha)


def test_one_large_singular_value_makes_a_spectrum_not_flat():
    weight = orthogonal()
    weight += 5 * torch.outer(weight[:, 0], weight[0]) / (weight[:, 0].norm() * weight[0].norm())
    values = squared_singular_values(weight[None])[0]
    assert flat_spectrum_reason(values, (64, 64)) == ""


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [1.0, math.nan], [1.0, math.inf]])
def test_a_spectrum_without_values_is_not_called_flat(values):
    assert flat_spectrum_reason(torch.tensor(values), (2, 2)) == ""


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("options", [{}, {"mode": "slices"}, {"mode": "w2", "sizes": 8}, {"backend": "weightwatcher"}])
def test_one_bad_value_costs_one_layer(options, bad):
    if "backend" in options:
        with silence():
            pytest.importorskip("weightwatcher")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 24, 3), nn.Conv2d(24, 32, 3), nn.Linear(30, 40), nn.LSTM(30, 30))
    good = layer_spectra(model, **options)
    with torch.no_grad():
        model[1].weight[0, 0, 0, 0] = bad
    found = layer_spectra(model, **options)
    assert [s.layer for s in found] == [s.layer for s in good]
    for before, after in zip(good, found):
        if after.layer == "1":
            assert after.fit.reason == "the weight has 1 value that is NaN or infinite, of 6912"
            numbers = (after.fit.alpha, after.lambda_max, after.stable_rank, after.entropy_rank, after.spectral_norm)
            assert all(map(math.isnan, numbers))
        else:
            assert after.fit == before.fit
    assert alpha_summary(found).mean_alpha == pytest.approx(
        sum(s.fit.alpha for s in found if s.layer != "1") / (len(found) - 1)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_tensor_svd_of_one_bad_group_is_nan(bad):
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = tensor_svd(weight, groups=2)
    weight[5, 0, 0, 0] = bad
    found = tensor_svd(weight, groups=2)
    torch.testing.assert_close(found.singular_values[0], expected.singular_values[0])
    assert found.singular_values[1].isnan().all()
    assert torch.equal(found.U[:4], expected.U[:4])
    assert found.Vt[4:].isnan().all()


def test_the_operator_of_one_bad_group_has_nan():
    weight = torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(0))
    expected = circular_singular_values(weight[:2], (6,), groups=2)
    weight[2:, 0, 1] = math.nan
    found = circular_singular_values(weight, (6,), groups=4)
    torch.testing.assert_close(found[:12], expected)
    assert found[12:].isnan().all()


def test_a_spectrum_that_weightwatcher_does_not_fit_has_no_alpha():
    with silence():
        pytest.importorskip("weightwatcher")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.Linear(200, 100), linear(orthogonal(100, 100)))
    model[0].weight.data *= 1e-4  # its eigenvalues are below weightwatcher's threshold
    small, plain, flat = layer_spectra(model, backend="weightwatcher")
    assert small.external["alpha"] == -1
    assert math.isnan(small.fit.alpha)
    assert math.isnan(small.alpha_weighted)
    assert (small.fit.n_tail, small.fit.sigma) == (0, pytest.approx(math.nan, nan_ok=True))
    assert "weightwatcher found no power law" in small.fit.reason
    assert math.isnan(flat.fit.alpha)
    summary = alpha_summary((small, plain, flat))
    assert summary.mean_alpha == plain.fit.alpha
    assert (summary.layers, summary.abstained) == (1, 2)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down_proj = nn.Parameter(torch.randn(3, 30, 40))


@pytest.mark.parametrize("mode", ["w1", "slices", "w2"])
def test_experts_pool_the_eigenvalues_of_their_matrices(mode):
    experts = Experts()
    (found,) = layer_spectra(experts, mode=mode, sizes=8)
    expected = torch.linalg.svdvals(experts.down_proj.detach().double()).square().flatten().sort().values
    torch.testing.assert_close(found.eigenvalues, expected)
    assert found.shape == (30, 40)
    assert math.isfinite(found.fit.alpha)


def test_weightwatcher_abstains_from_experts():
    with silence():
        pytest.importorskip("weightwatcher")
    (found,) = layer_spectra(Experts(), backend="weightwatcher")
    assert found.fit.reason == "weightwatcher does not analyze stacked weights of shape (3, 30, 40)"
