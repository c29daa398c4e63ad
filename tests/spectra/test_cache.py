"""The cache of spectra: which changes of a weight it detects, and what it distinguishes."""

import pytest
import torch
from small_models import cnn_with_batch_norm
from torch import nn

from lightning_factorlens.spectra.cache import SpectraCache
from lightning_factorlens.spectra.layer_spectra import layer_spectra
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_reading_parametrized_weights_changes_nothing(norm):
    model = norm(nn.Linear(30, 40)).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    cache = SpectraCache()
    first = layer_spectra(model, cache=cache)[0]
    assert layer_spectra(model, cache=cache)[0] is first
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    expected = torch.linalg.svdvals(model.eval().weight.detach().double()).square().flip(0)
    torch.testing.assert_close(first.eigenvalues, expected)


def by_optimizer(weight):
    weight.grad = torch.zeros_like(weight)
    weight.grad.view(-1)[3] = 1.0
    torch.optim.SGD([weight], lr=0.1).step()


def by_data_copy(weight):
    weight.data.copy_(weight.data.flip(0))  # equal sums, and the version counter does not change


def by_data_swap(weight):
    weight.data = weight.data + 1


def by_last_bit(weight):
    weight.data.view(-1)[0] = torch.nextafter(weight.data.view(-1)[0], torch.tensor(9.0))


@pytest.mark.parametrize("change", [by_optimizer, by_data_copy, by_data_swap, by_last_bit])
def test_the_cache_recomputes_changed_weights_only(change):
    model = cnn_with_batch_norm()
    cache = SpectraCache()
    first = layer_spectra(model, cache=cache)
    assert all(a is b for a, b in zip(first, layer_spectra(model, cache=cache)))
    change(model[5].weight)
    second = layer_spectra(model, cache=cache)
    assert [a is b for a, b in zip(first, second)] == [True, True, True, False, True, True, True]
    torch.testing.assert_close(second[3].eigenvalues, layer_spectra(model)[3].eigenvalues)


def test_the_cache_distinguishes_modes_and_fits():
    model = cnn_with_batch_norm()
    cache = SpectraCache()
    w1 = layer_spectra(model, cache=cache)
    slices = layer_spectra(model, mode="slices", cache=cache)
    assert [s.mode for s in slices] == ["slices"] * 7
    assert layer_spectra(model, cache=cache)[1] is w1[1]
    refitted = layer_spectra(model, fit=fit_like_weightwatcher, cache=cache)
    assert refitted[1] is not w1[1]
