"""Goodness of fit, likelihood ratios and correlation traps added to spectra."""

from dataclasses import replace

import pytest
import torch
from small_models import cnn_with_transposed_convolution

from lightning_factorlens.linalg.unfolding import channel_slices
from lightning_factorlens.spectra.correlation_traps import correlation_traps
from lightning_factorlens.spectra.diagnostics import add_correlation_traps, add_goodness_of_fit
from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit
from lightning_factorlens.spectra.layer_spectra import layer_spectra
from lightning_factorlens.spectra.likelihood_ratio import compare_power_law


def test_added_values_are_those_of_the_single_tests():
    spectra = layer_spectra(cnn_with_transposed_convolution())
    for before, after in zip(spectra, add_goodness_of_fit(spectra, draws=20, seed=3)):
        goodness = goodness_of_fit(before.eigenvalues, before.fit, draws=20, seed=3)
        lognormal = compare_power_law(before.eigenvalues, before.fit, "lognormal")
        truncated = compare_power_law(before.eigenvalues, before.fit, "truncated_power_law")
        found = (after.fit.p_value, after.fit.sigma_bootstrap, after.fit.lognormal_ratio, after.fit.lognormal_p)
        assert found == pytest.approx((*goodness[:2], *lognormal[1:]), nan_ok=True)
        assert (after.fit.truncated_ratio, after.fit.truncated_p) == pytest.approx(truncated[1:], nan_ok=True)
        assert after.fit.alpha is before.fit.alpha
    with_fit = spectra[3]
    with pytest.raises(ValueError, match="must hold their eigenvalues"):
        add_goodness_of_fit([replace(with_fit, eigenvalues=torch.empty(0))])


def test_traps_are_those_of_the_channel_slices():
    model = cnn_with_transposed_convolution()
    with torch.no_grad():
        model[5].weight.view(-1)[:3] = 5.0
        model[0].weight.zero_()
    found = add_correlation_traps(layer_spectra(model, mode="slices"), model)
    assert found[0].traps is None
    assert found[5].traps >= 1
    assert found[3].traps == correlation_traps(channel_slices(model[3].weight)).num_traps
    with pytest.raises(ValueError, match="found 'w2'"):
        add_correlation_traps(layer_spectra(model, mode="w2", sizes=6), model)
