"""Spectra of the weights in a lens against the functions of the package `spectra`."""

import pytest
import torch
from small_lens import lens_with, make_probe, train_a_little

from lightning_factorlens.measurements import WeightSpectra
from lightning_factorlens.spectra.layer_spectra import alpha_summary, layer_spectra


def test_the_record_holds_the_spectra_and_their_means():
    lens = lens_with(WeightSpectra())
    record = lens.observe(make_probe())["weight_spectra"]
    expected = layer_spectra(lens.model)
    assert [spectrum.layer for spectrum in record.layers] == ["conv", "hidden", "head"]
    for found, spectrum in zip(record.layers, expected):
        assert torch.equal(found.eigenvalues, spectrum.eigenvalues)
        assert repr(found.fit) == repr(spectrum.fit)
    assert record.summary == alpha_summary(expected)


def test_only_changed_weights_are_analysed_again(monkeypatch):
    lens = lens_with(WeightSpectra())
    first = lens.observe(make_probe())["weight_spectra"]
    again = lens.observe(make_probe(), epoch=1)["weight_spectra"]
    assert all(a is b for a, b in zip(first.layers, again.layers))
    with torch.no_grad():
        lens.model.hidden.weight.mul_(1.5)
    third = lens.observe(make_probe(), epoch=2)["weight_spectra"]
    assert [a is b for a, b in zip(first.layers, third.layers)] == [True, False, True]


def test_a_lens_without_a_cache_gives_the_same_numbers():
    lens = lens_with(WeightSpectra())
    lens.observe(make_probe())
    train_a_little(lens.model, 1)
    found = list(lens.observe(make_probe(), epoch=1)["weight_spectra"].values())
    fresh = lens_with(WeightSpectra())
    train_a_little(fresh.model, 1)
    assert repr(found) == repr(list(fresh.observe(make_probe(), epoch=1)["weight_spectra"].values()))


def test_histograms_are_log10_of_the_positive_eigenvalues():
    lens = lens_with(WeightSpectra())
    record = lens.observe(make_probe())["weight_spectra"]
    histograms = list(WeightSpectra().histograms(record))
    assert [scope for _, scope, _ in histograms] == ["conv", "hidden", "head"]
    for (tag, _, values), spectrum in zip(histograms, record.layers):
        assert tag == "{prefix}_spectra/{scope}/log10_eigenvalues"
        positive = spectrum.eigenvalues[spectrum.eigenvalues > 0]
        assert values.tolist() == pytest.approx(positive.double().log10().tolist())
    assert list(WeightSpectra().histograms(record.without_tensors())) == []
