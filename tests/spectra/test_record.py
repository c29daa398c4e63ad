"""Records of unusual weights: dtypes that cannot be read, quantized modules, zero and depthwise layers."""

import math
import warnings

import pytest
import torch
from torch import nn

from lightning_factorlens.spectra.cache import SpectraCache
from lightning_factorlens.spectra.layer_spectra import layer_spectra

DTYPES = ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "uint8", "bool", "float4_e2m1fn_x2"]


@pytest.mark.parametrize("dtype", [d for d in DTYPES if hasattr(torch, d)])
@pytest.mark.parametrize("mode", ["w1", "slices"])
def test_every_dtype_has_values_or_a_reason(dtype, mode):
    dtype = getattr(torch, dtype)
    weight = torch.randn(40, 60, generator=torch.Generator().manual_seed(0)) * 40
    raw = weight.to(torch.uint8).view(dtype) if "float4" in str(dtype) else weight.to(dtype)
    model = nn.Linear(60, 40)
    model.weight = nn.Parameter(raw, requires_grad=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cache in (None, SpectraCache()):
            (found,) = layer_spectra(model, mode=mode, cache=cache)
    readable = dtype.is_floating_point and "float4" not in str(dtype)
    assert math.isfinite(found.fit.alpha) == readable
    assert (str(dtype) in found.fit.reason) != readable
    if readable:
        torch.testing.assert_close(found.eigenvalues, torch.linalg.svdvals(raw.double()).square().flip(0))


def test_quantized_modules_are_read():
    quantized = pytest.importorskip("torch.ao.nn.quantized")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(quantized.Conv2d(8, 32, 3, groups=2), quantized.Linear(30, 40))
        weight = torch.randn(40, 30)
        model[1].set_weight_bias(torch.quantize_per_tensor(weight, 0.05, 0, torch.qint8), None)
    conv, linear = layer_spectra(model)
    assert conv.shape == (16, 36)
    assert linear.lambda_max == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)) ** 2, rel=0.05)


def test_quantities_of_degenerate_layers():
    model = nn.ModuleDict(
        {"zero": nn.Linear(30, 30), "depthwise": nn.Conv2d(32, 32, 3, groups=32), "point": nn.Conv2d(32, 48, 1), "one": nn.Conv2d(1, 32, 3)}
    )  # fmt: skip
    nn.init.zeros_(model["zero"].weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {s.layer: s for s in layer_spectra(model)}
    assert (found["zero"].lambda_max, found["zero"].spectral_norm) == (0.0, 0.0)
    assert math.isnan(found["zero"].log_lambda_max)
    assert math.isnan(found["zero"].stable_rank)
    assert all(math.isfinite(found[k].fit.alpha) for k in ("depthwise", "point", "one"))
    assert found["depthwise"].spikes is None
    assert found["point"].spikes == 0
    point = torch.linalg.svdvals(model["point"].weight.detach().double().flatten(1))
    assert found["point"].spectral_norm == pytest.approx(float(point[0]))
    p = point / point.sum()
    assert found["point"].entropy_rank == pytest.approx(float((-(p * p.log()).sum()).exp()))
    assert found["point"].alpha_weighted == pytest.approx(found["point"].fit.alpha * 2 * math.log10(float(point[0])))


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-160, 1e160, 1e300])
def test_weights_whose_squares_leave_the_range_of_float64_have_no_spectrum(scale):
    layer = nn.Linear(40, 30, dtype=torch.float64)
    layer.weight.data.mul_(scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = layer_spectra(layer)
    assert math.isnan(found.lambda_max) and math.isnan(found.fit.alpha) and math.isnan(found.stable_rank)
    assert found.spikes is None
    assert "its square leaves the range of float64" in found.fit.reason
    assert found.has_finite_weight


@pytest.mark.parametrize("scale", [1e-130, 1e-30, 1e30, 1e150])
def test_the_exponent_and_the_ranks_do_not_depend_on_the_scale(scale):
    torch.manual_seed(0)
    layer = nn.Linear(40, 30, dtype=torch.float64)
    (expected,) = layer_spectra(layer)
    layer.weight.data.mul_(scale)
    (found,) = layer_spectra(layer)
    assert found.fit.alpha == pytest.approx(expected.fit.alpha, rel=1e-9)
    assert found.stable_rank == pytest.approx(expected.stable_rank, rel=1e-9)
    assert found.entropy_rank == pytest.approx(expected.entropy_rank, rel=1e-9)
    assert found.spikes == expected.spikes
