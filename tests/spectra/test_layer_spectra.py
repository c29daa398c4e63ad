"""Whole models: against weightwatcher, layers that abstain, and what the cache computes again."""

import math

import pytest
import torch
from silence import silence
from torch import nn

from lightning_factorlens.capture.weights import weight_layers
from lightning_factorlens.results import LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.layer_spectra import SpectraCache, alpha_summary, layer_spectra
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher


def small_cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),  # one input channel, and fewer channels than taps
        nn.ReLU(),
        nn.Conv2d(6, 32, 3),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 32, 3, groups=32),  # 9 eigenvalues in slices
        nn.Conv2d(32, 64, 1),
        nn.Conv2d(64, 64, 3, groups=4),
        nn.Flatten(),
        nn.Linear(64, 40),
        nn.Linear(40, 10),
    )


def by_name(spectra):
    return {s.layer: s for s in spectra}


def test_slices_against_weightwatcher():
    model = small_cnn()
    with silence():
        weightwatcher = pytest.importorskip("weightwatcher")
        table = weightwatcher.WeightWatcher(model=model).analyze(detX=False, randomize=False, plot=False)
    found = by_name(layer_spectra(model, mode="slices", fit=fit_like_weightwatcher))
    assert len(table) == len(found) == 7
    for row in table.itertuples():
        ours = found[row.name]
        assert ours.fit.alpha == pytest.approx(row.alpha, rel=1e-4)
        assert ours.lambda_max == pytest.approx(row.lambda_max, rel=1e-5)
        assert len(ours.eigenvalues) == row.num_evals
        plain = by_name(layer_spectra(model, mode="slices"))[row.name].fit
        if plain.n >= 20:
            assert plain.alpha == pytest.approx(row.alpha, rel=1e-4)
    summary = alpha_summary(tuple(found.values()), min_eigenvalues=0)
    assert summary.mean_alpha == pytest.approx(table.alpha.mean(), rel=1e-4)
    assert summary.mean_alpha_hat == pytest.approx(table.alpha_weighted.mean(), rel=1e-4)


def test_w1_shapes_and_eigenvalues():
    model = small_cnn()
    found = by_name(layer_spectra(model))
    assert [s.shape for s in found.values()] == [(6, 25), (32, 54), (1, 9), (64, 32), (16, 144), (40, 64), (10, 40)]
    depthwise = model[4].weight.double().square().sum((1, 2, 3)).sort().values
    torch.testing.assert_close(found["4"].eigenvalues, depthwise)
    singular = torch.linalg.svdvals(model[6].weight.detach().double().view(4, 16, 144)).flatten().sort().values
    torch.testing.assert_close(found["6"].eigenvalues, singular.square())
    assert found["6"].lambda_max == pytest.approx(float(singular[-1]) ** 2)
    assert "at least 8" in found["0"].fit.reason
    assert found["4"].fit.reason == ""


def test_layers_that_abstain():
    model = nn.ModuleDict(
        {
            "zero": nn.Conv2d(8, 16, 3),
            "nan": nn.Linear(30, 30),
            "lazy": nn.LazyConv2d(4, 3),
            "meta": nn.Linear(50, 30, device="meta"),
            "complex": nn.Linear(30, 30, dtype=torch.complex64),
            "good": nn.Linear(30, 30),
        }
    )
    nn.init.zeros_(model["zero"].weight)
    model["nan"].weight.data[0, 0] = math.nan
    for cache in (None, SpectraCache()):
        found = by_name(layer_spectra(model, cache=cache))
        for name, reason in [
            ("zero", "0 eigenvalues"),
            ("nan", "not all finite"),
            ("lazy", "not initialised"),
            ("meta", "meta"),
            ("complex", "complex64"),
        ]:
            assert math.isnan(found[name].fit.alpha)
            assert reason in found[name].fit.reason
        assert found["meta"].shape == (30, 50)
        assert found["lazy"].shape == ()
        summary = alpha_summary(tuple(found.values()))
        assert (summary.layers, summary.abstained) == (1, 5)
        assert summary.mean_alpha == found["good"].fit.alpha


def test_bfloat16_is_its_own_values():
    model = nn.Linear(40, 60).bfloat16()
    (found,) = layer_spectra(model)
    (expected,) = layer_spectra(model.double())
    assert found.layer == "Linear"
    torch.testing.assert_close(found.eigenvalues, expected.eigenvalues)


def test_every_layer_once():
    model = nn.Module()
    model.a, model.b = nn.Linear(20, 20), nn.Linear(20, 20)
    model.b.weight = model.a.weight
    model.attention = nn.MultiheadAttention(8, 2)
    model.unfused = nn.MultiheadAttention(8, 2, kdim=4, vdim=6)
    model.up = nn.ConvTranspose1d(4, 6, 3, groups=2)
    model.compiled = torch.compile(nn.Sequential(nn.Conv3d(2, 4, 3)))
    layers = {layer.name: layer for layer in weight_layers(model)}
    attentions = [f"{m}.{p}" for m in ("attention", "unfused") for p in ("q", "k", "v", "out_proj")]
    assert list(layers) == ["a", *attentions, "up", "compiled.0"]
    assert torch.equal(layers["attention.k"].weight, model.attention.in_proj_weight[8:16])
    assert layers["unfused.v"].weight.shape == (8, 6)
    assert (layers["up"].groups, layers["up"].transposed, layers["up"].op) == (2, True, "ConvTranspose1d")
    assert not any(layer.weight.requires_grad for layer in layers.values())


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_parametrised_weights_are_read_without_a_trace(norm):
    model = norm(nn.Linear(30, 40)).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    cache = SpectraCache()
    first, again = (layer_spectra(model, cache=cache)[0] for _ in range(2))
    assert again is first
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    expected = torch.linalg.svdvals(model.eval().weight.detach().double()).square().flip(0)
    torch.testing.assert_close(first.eigenvalues, expected)


def by_optimizer(weight):
    weight.grad = torch.zeros_like(weight)
    weight.grad.view(-1)[3] = 1.0
    torch.optim.SGD([weight], lr=0.1).step()


def by_data_copy(weight):
    weight.data.copy_(weight.data.flip(0))  # same sums, no version


def by_data_swap(weight):
    weight.data = weight.data + 1


def by_last_bit(weight):
    weight.data.view(-1)[0] = torch.nextafter(weight.data.view(-1)[0], torch.tensor(9.0))


@pytest.mark.parametrize("change", [by_optimizer, by_data_copy, by_data_swap, by_last_bit])
def test_cache_computes_what_changed(change):
    model, cache = small_cnn(), SpectraCache()
    first = layer_spectra(model, cache=cache)
    assert all(a is b for a, b in zip(first, layer_spectra(model, cache=cache)))
    change(model[5].weight)
    second = layer_spectra(model, cache=cache)
    assert [a is b for a, b in zip(first, second)] == [True, True, True, False, True, True, True]
    torch.testing.assert_close(second[3].eigenvalues, layer_spectra(model)[3].eigenvalues)


def test_cache_knows_mode_and_fit():
    model, cache = small_cnn(), SpectraCache()
    w1 = layer_spectra(model, cache=cache)
    slices = layer_spectra(model, mode="slices", cache=cache)
    assert [s.mode for s in slices] == ["slices"] * 7
    assert layer_spectra(model, cache=cache)[1] is w1[1]
    refitted = layer_spectra(model, fit=fit_like_weightwatcher, cache=cache)
    assert refitted[1] is not w1[1]


def spectrum(alpha, lambda_max, n):
    fit = PowerLawFit(alpha=alpha, sigma=0.1, x_min=1.0, ks_distance=0.1, n_tail=n, n=n)
    return LayerSpectrum("x", "w1", (n, n), torch.ones(n), lambda_max, fit)


def test_alpha_summary():
    nan = spectrum(math.nan, 0.0, 0)
    few, a, b = spectrum(9.0, 10.0, 10), spectrum(2.0, 100.0, 30), spectrum(4.0, 0.1, 30)
    assert alpha_summary(()) is None
    assert alpha_summary((nan,)) is None
    found = alpha_summary((nan, few, a, b))
    assert (found.mean_alpha, found.alpha_hat, found.mean_alpha_hat) == pytest.approx((3.0, 0.0, 0.0))
    assert found.mean_log_lambda_max == pytest.approx(0.5)
    assert (found.layers, found.abstained) == (2, 1)
    assert alpha_summary((nan, few)).alpha_hat == pytest.approx(9.0)
    assert alpha_summary((few, a, b), min_eigenvalues=0).layers == 3


def test_mode_is_checked():
    with pytest.raises(ValueError, match="mode must be one of 'w1', 'slices', 'w2', found 'w3'"):
        layer_spectra(nn.Linear(3, 3), mode="w3")
