"""The matrices of each mode: W2 against the dense circulant matrix, and shapes of weights without values."""

import math

import pytest
import torch
from torch import nn

from lightning_factorlens.spectra.layer_spectra import layer_spectra
from lightning_factorlens.spectra.toeplitz import dense_operator


def test_w2_has_the_values_of_the_dense_circulant():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 6, 3, dilation=2, groups=2), nn.ConvTranspose2d(6, 4, 2), nn.Linear(9, 30)
    )  # fmt: skip
    first, second, up, linear = layer_spectra(model, mode="w2", sizes={"0": 8, "1": (4, 6), "2": 4})
    for found, weight, size, options in [
        (first, model[0].weight, (8, 8), {"stride": 2}),
        (second, model[1].weight, (4, 6), {"dilation": 2, "groups": 2}),
        (up, model[2].weight, (4, 4), {}),
    ]:
        W = dense_operator(weight.detach(), size, circular=True, **options)
        groups = options.get("groups", 1)
        shape = (W.shape[0] // groups, W.shape[1] // groups)
        assert found.shape == (shape[::-1] if found is up else shape)
        dense = torch.linalg.svdvals(W).square().sort().values
        torch.testing.assert_close(
            found.eigenvalues, dense[len(dense) - len(found.eigenvalues) :], rtol=1e-8, atol=1e-12
        )
        assert math.isnan(found.mp_edge)
    torch.testing.assert_close(linear.eigenvalues, layer_spectra(model)[3].eigenvalues)


@pytest.mark.parametrize("mode", ["w1", "slices"])
def test_weights_without_values_have_a_shape(mode):
    def model(device):
        return nn.Sequential(
            nn.Conv2d(4, 6, (3, 2), groups=2, device=device),
            nn.ConvTranspose1d(4, 6, 3, groups=2, device=device),
            nn.Conv3d(2, 5, 2, device=device),
            nn.Linear(3, 7, device=device),
        )

    shapes = [[s.shape for s in layer_spectra(model(device), mode=mode)] for device in ("meta", "cpu")]
    assert shapes[0] == shapes[1]
