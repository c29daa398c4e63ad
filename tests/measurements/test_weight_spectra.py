"""Spectra of the weights in a lens against the functions of the package `spectra`."""

import math

import pytest
import torch
from adapters import PeftLike
from small_lens import lens_with, make_net, make_probe, train_a_little
from torch import nn

from lightning_factorlens.measurements import RootMeanSquare, WeightSpectra
from lightning_factorlens.results.serialization import from_json, to_json
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


class WithTeacher(nn.Module):
    """A network with a frozen copy and a network for the loss that forward does not call."""

    def __init__(self):
        super().__init__()
        self.net, self.teacher, self.critic = make_net(), make_net().requires_grad_(False), make_net()

    def forward(self, x):
        with torch.no_grad():
            self.teacher(x)
        return self.net(x)


def test_only_the_network_that_is_trained_is_analysed_and_the_rest_is_named():
    observation = lens_with(WeightSpectra(), RootMeanSquare(), net=WithTeacher()).observe(make_probe())
    record = observation["weight_spectra"]
    assert [spectrum.layer for spectrum in record.layers] == ["net.conv", "net.hidden", "net.head"]
    groups = [(group.name, group.n_weights, group.reason) for group in record.skipped]
    assert groups == [("teacher", 3, "frozen"), ("critic", 3, "not called by the forward pass")]
    assert "weight spectra: skipped teacher (3 weights), frozen" in observation.notes
    assert from_json(to_json(observation))["weight_spectra"].skipped == record.skipped


def test_a_network_that_is_unfrozen_is_analysed_from_then_on():
    lens = lens_with(WeightSpectra(), RootMeanSquare())
    lens.model.conv.requires_grad_(False)
    assert len(lens.observe(make_probe())["weight_spectra"].layers) == 2
    lens.model.conv.requires_grad_(True)
    record = lens.observe(make_probe(), epoch=1)["weight_spectra"]
    assert [spectrum.layer for spectrum in record.layers] == ["conv", "hidden", "head"]
    assert record.skipped == ()


def test_a_pretrained_model_that_is_wholly_frozen_is_analysed_and_it_is_said():
    observation = lens_with(WeightSpectra(), net=make_net().requires_grad_(False)).observe(make_probe())
    assert len(observation["weight_spectra"].layers) == 3
    assert any("no parameter of the model is trainable" in note for note in observation.notes)


def test_the_spectrum_of_an_adapted_layer_follows_its_adapter():
    net = make_net()
    net.hidden = PeftLike(net.hidden)
    lens = lens_with(WeightSpectra(), RootMeanSquare(), net=net)
    first = lens.observe(make_probe())["weight_spectra"]
    assert [spectrum.layer for spectrum in first.layers] == ["conv", "hidden", "head"]
    again = lens.observe(make_probe(), epoch=1)["weight_spectra"]
    assert all(a is b for a, b in zip(first.layers, again.layers))
    net.hidden.lora_B["default"].weight.data.mul_(2)
    third = lens.observe(make_probe(), epoch=2)["weight_spectra"]
    assert [a is b for a, b in zip(first.layers, third.layers)] == [True, False, True]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_leaves_the_means_without_a_value(value):
    net = make_net()
    lens = lens_with(WeightSpectra(), net=net)
    before = lens.observe(make_probe())
    net.hidden.weight.data[0, 0] = value
    after = lens.observe(make_probe(), epoch=1)
    good, bad = before["weight_spectra"], after["weight_spectra"]
    assert math.isfinite(good.summary.mean_alpha)
    assert bad.summary is None
    means = {value.quantity: value.value for value in bad.values() if value.scope is None}
    assert means.keys() >= {"mean_alpha", "alpha_hat", "mean_alpha_hat"}
    assert all(map(math.isnan, means.values()))
    assert not any(value.scope == "hidden" and math.isfinite(value.value) for value in bad.values())
    conv = {value.quantity: value.value for value in bad.values() if value.scope == "conv"}
    assert conv["lambda_max"] == good.layers[0].lambda_max
    note = "no weight spectra: the weight has 1 value that is NaN or infinite, of 13824 (hidden)."
    assert note in after.notes
    assert not any(note.startswith("no weight spectra") for note in before.notes)
