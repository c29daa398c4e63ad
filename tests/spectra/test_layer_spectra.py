"""Whole models: values of weightwatcher, shapes, dtypes and sizes, and means over layers."""

import math

import pytest
import torch
from silence import silence
from small_models import by_name, cnn_with_batch_norm
from torch import nn

from lightning_factorlens.capture.weights import weight_layers
from lightning_factorlens.results import LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.cache import SpectraCache
from lightning_factorlens.spectra.layer_spectra import alpha_summary, layer_spectra
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher


def test_slices_have_the_eigenvalues_and_alpha_of_weightwatcher():
    model = cnn_with_batch_norm()
    with silence():
        weightwatcher = pytest.importorskip("weightwatcher")
        table = weightwatcher.WeightWatcher(model=model).analyze(detX=False, randomize=False, plot=False)
    found = by_name(layer_spectra(model, mode="slices", fit=fit_like_weightwatcher))
    assert len(table) == len(found) == 7
    for row in table.itertuples():
        spectrum = found[row.name]
        assert spectrum.fit.alpha == pytest.approx(row.alpha, rel=1e-4)
        assert spectrum.lambda_max == pytest.approx(row.lambda_max, rel=1e-5)
        assert len(spectrum.eigenvalues) == row.num_evals
        plain = by_name(layer_spectra(model, mode="slices"))[row.name].fit
        if plain.n >= 20:
            assert plain.alpha == pytest.approx(row.alpha, rel=1e-4)
    summary = alpha_summary(tuple(found.values()), min_eigenvalues=0)
    assert summary.mean_alpha == pytest.approx(table.alpha.mean(), rel=1e-4)
    assert summary.mean_alpha_hat == pytest.approx(table.alpha_weighted.mean(), rel=1e-4)


def test_w1_shapes_and_eigenvalues():
    model = cnn_with_batch_norm()
    found = by_name(layer_spectra(model))
    assert [s.shape for s in found.values()] == [(6, 25), (32, 54), (1, 9), (64, 32), (16, 144), (40, 64), (10, 40)]
    depthwise = model[4].weight.double().square().sum((1, 2, 3)).sort().values
    torch.testing.assert_close(found["4"].eigenvalues, depthwise)
    singular = torch.linalg.svdvals(model[6].weight.detach().double().view(4, 16, 144)).flatten().sort().values
    torch.testing.assert_close(found["6"].eigenvalues, singular.square())
    assert found["6"].lambda_max == pytest.approx(float(singular[-1]) ** 2)
    assert "at least 8" in found["0"].fit.reason
    assert found["4"].fit.reason == ""


def test_layers_without_a_fit_have_a_reason():
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
            ("nan", "the weight has 1 value that is NaN or infinite, of 900"),
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


def test_bfloat16_weights_are_read_exactly():
    model = nn.Linear(40, 60).bfloat16()
    (found,) = layer_spectra(model)
    (expected,) = layer_spectra(model.double())
    assert found.layer == "Linear"
    torch.testing.assert_close(found.eigenvalues, expected.eigenvalues)


def test_every_weight_is_listed_once():
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


def test_w2_needs_a_size_and_is_cached_by_it():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3))
    odd, missing = layer_spectra(model, mode="w2", sizes={"0": 7})
    assert "stride (2, 2) does not divide the size (7, 7)" in odd.fit.reason
    assert "name it in sizes" in missing.fit.reason
    cache = SpectraCache()
    first = layer_spectra(model, mode="w2", sizes=8, cache=cache)
    assert all(a is b for a, b in zip(first, layer_spectra(model, mode="w2", sizes=8, cache=cache)))
    assert layer_spectra(model, mode="w2", sizes=4, cache=cache)[1] is not first[1]
    with pytest.raises(ValueError, match='sizes must be given with mode="w2", found None'):
        layer_spectra(model, mode="w2")
    with pytest.raises(ValueError, match='backend must be "factorlens" or "weightwatcher", found \'ww\''):
        layer_spectra(model, backend="ww")


def spectrum(alpha, lambda_max, n):
    fit = PowerLawFit(alpha=alpha, sigma=0.1, x_min=1.0, ks_distance=0.1, n_tail=n, n=n)
    return LayerSpectrum("x", "w1", (n, n), torch.ones(n), lambda_max, fit)


def test_alpha_summary_takes_means_over_layers_with_enough_eigenvalues():
    nan = spectrum(math.nan, 0.0, 0)
    few = spectrum(9.0, 10.0, 10)
    a = spectrum(2.0, 100.0, 30)
    b = spectrum(4.0, 0.1, 30)
    assert alpha_summary(()) is None
    assert alpha_summary((nan,)) is None
    found = alpha_summary((nan, few, a, b))
    assert (found.mean_alpha, found.alpha_hat, found.mean_alpha_hat) == pytest.approx((3.0, 0.0, 0.0))
    assert found.mean_log_lambda_max == pytest.approx(0.5)
    assert (found.layers, found.abstained) == (2, 1)
    assert alpha_summary((nan, few)).alpha_hat == pytest.approx(9.0)
    assert alpha_summary((few, a, b), min_eigenvalues=0).layers == 3


def test_unknown_modes_are_rejected():
    with pytest.raises(ValueError, match="mode must be one of 'w1', 'slices', 'w2', found 'w3'"):
        layer_spectra(nn.Linear(3, 3), mode="w3")
