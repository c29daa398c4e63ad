"""Records into tables, weightwatcher's numbers under its names, verdicts and traps on demand, W2 as a mode."""

import math
import sys
import warnings

import pytest
import torch
from silence import silence
from torch import nn

from lightning_factorlens.spectra.correlation_traps import correlation_traps
from lightning_factorlens.spectra.diagnostics import add_correlation_traps, add_goodness_of_fit
from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit
from lightning_factorlens.spectra.layer_spectra import SpectraCache, layer_spectra
from lightning_factorlens.spectra.likelihood_ratio import compare_power_law
from lightning_factorlens.spectra.table import spectra_frame, spectra_rows
from lightning_factorlens.spectra.toeplitz import dense_operator
from lightning_factorlens.spectra.unfolding import channel_slices


def small_cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.Conv2d(6, 32, 3),
        nn.Conv2d(32, 32, 3, groups=32),
        nn.Conv2d(32, 64, 1),
        nn.ConvTranspose2d(64, 24, 3),
        nn.Linear(64, 40),
    )


def silent(function):
    with silence():
        return function()


@pytest.fixture(scope="module")
def weightwatcher():
    return silent(lambda: pytest.importorskip("weightwatcher"))


def test_weightwatchers_numbers_under_its_names(weightwatcher, capsys):
    model = small_cnn()
    table = silent(lambda: weightwatcher.WeightWatcher(model=small_cnn()).analyze(plot=False))
    filters, state = list(warnings.filters), {k: v.clone() for k, v in model.state_dict().items()}
    attributes = {name: set(vars(m)) for name, m in model.named_modules()}
    found = layer_spectra(model, backend="weightwatcher")
    assert capsys.readouterr() == ("", "")
    assert warnings.filters == filters
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert {name: set(vars(m)) for name, m in model.named_modules()} == attributes
    assert [s.layer for s in found] == [str(i) for i in range(6)]
    expected = table.set_index("longname")
    for spectrum in found:
        if spectrum.layer == "4":
            assert "no row for this ConvTranspose2d" in spectrum.fit.reason
            assert math.isnan(spectrum.fit.alpha)
            continue
        row = expected.loc[spectrum.layer]
        for name in ("alpha", "alpha_weighted", "stable_rank", "log_norm", "xmin", "D", "num_evals", "entropy"):
            assert spectrum.external[name] == row[name]
        assert spectrum.external["longname"] == spectrum.layer
        assert spectrum.fit.alpha == row["alpha"]
        assert spectrum.alpha_weighted == row["alpha_weighted"]
    pytest.importorskip("pandas")
    frame = spectra_frame(found)
    assert set(table.columns) <= set(frame.columns)
    assert frame.alpha.isna().tolist() == [s.layer == "4" for s in found]


def test_weightwatcher_gets_every_layer_that_has_values(weightwatcher):
    model = nn.ModuleDict(
        {
            "short": nn.Linear(40, 50).bfloat16(),
            "meta": nn.Linear(40, 50, device="meta"),
            "attention": nn.MultiheadAttention(32, 2),
            "one": nn.Conv1d(8, 24, 3),
            "cube": nn.Conv3d(4, 24, 3),
        }
    )
    found = {s.layer: s for s in layer_spectra(model, backend="weightwatcher")}
    assert math.isfinite(found["short"].fit.alpha)
    assert math.isfinite(found["attention.q"].fit.alpha)
    assert "meta device" in found["meta"].fit.reason
    assert all(s.external or s.fit.reason for s in found.values())


def test_weightwatcher_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "weightwatcher", None)
    with pytest.raises(ImportError, match=r"pip install 'lightning-factorlens\[weightwatcher\]'"):
        layer_spectra(small_cnn(), backend="weightwatcher")


def test_rows_and_frame():
    pandas = pytest.importorskip("pandas")
    spectra = layer_spectra(small_cnn())
    rows, frame = spectra_rows(spectra), spectra_frame(spectra)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(rows[0])
    assert {"layer", "alpha", "stable_rank", "mp_edge", "spikes", "p_value", "reason"} <= set(rows[0])
    assert not {"eigenvalues", "fit", "foreign"} & set(rows[0])
    for row, spectrum in zip(rows, spectra):
        assert row["alpha"] is spectrum.fit.alpha
        assert row["stable_rank"] == pytest.approx(float(spectrum.eigenvalues.sum()) / spectrum.lambda_max)
    assert spectra_rows(()) == []


def test_frame_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"spectra_frame needs pandas: pip install pandas, or take spectra_rows"):
        spectra_frame(layer_spectra(nn.Linear(30, 30)))


def test_verdicts_are_the_tests():
    spectra = layer_spectra(small_cnn())
    for before, after in zip(spectra, add_goodness_of_fit(spectra, draws=20, seed=3)):
        goodness = goodness_of_fit(before.eigenvalues, before.fit, draws=20, seed=3)
        lognormal = compare_power_law(before.eigenvalues, before.fit, "lognormal")
        truncated = compare_power_law(before.eigenvalues, before.fit, "truncated_power_law")
        found = (after.fit.p_value, after.fit.sigma_bootstrap, after.fit.lognormal_ratio, after.fit.lognormal_p)
        assert found == pytest.approx((*goodness[:2], *lognormal[1:]), nan_ok=True)
        assert (after.fit.truncated_ratio, after.fit.truncated_p) == pytest.approx(truncated[1:], nan_ok=True)
        assert after.fit.alpha is before.fit.alpha
    foreign = spectra[3]
    with pytest.raises(ValueError, match="must hold their eigenvalues"):
        add_goodness_of_fit([type(foreign)(**{**vars(foreign), "eigenvalues": torch.empty(0)})])


def test_traps_are_of_the_slices():
    model = small_cnn()
    with torch.no_grad():
        model[5].weight.view(-1)[:3] = 5.0
        model[0].weight.zero_()
    found = add_correlation_traps(layer_spectra(model, mode="slices"), model)
    assert found[0].traps is None
    assert found[5].traps >= 1
    assert found[3].traps == correlation_traps(channel_slices(model[3].weight)).num_traps
    with pytest.raises(ValueError, match="found 'w2'"):
        add_correlation_traps(layer_spectra(model, mode="w2", sizes=6), model)


def test_w2_is_the_dense_circulant():
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


def test_w2_abstains_with_a_reason_and_is_remembered_by_size():
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


DTYPES = ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "uint8", "bool", "float4_e2m1fn_x2"]


@pytest.mark.parametrize("dtype", [d for d in DTYPES if hasattr(torch, d)])
@pytest.mark.parametrize("mode", ["w1", "slices"])
def test_every_dtype_has_a_value_or_a_reason(dtype, mode):
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


def test_quantised_modules_are_read():
    quantized = pytest.importorskip("torch.ao.nn.quantized")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(quantized.Conv2d(8, 32, 3, groups=2), quantized.Linear(30, 40))
        weight = torch.randn(40, 30)
        model[1].set_weight_bias(torch.quantize_per_tensor(weight, 0.05, 0, torch.qint8), None)
    conv, linear = layer_spectra(model)
    assert conv.shape == (16, 36)
    assert linear.lambda_max == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)) ** 2, rel=0.05)


@pytest.mark.parametrize("mode", ["w1", "slices"])
def test_shape_without_values(mode):
    def model(device):
        return nn.Sequential(
            nn.Conv2d(4, 6, (3, 2), groups=2, device=device),
            nn.ConvTranspose1d(4, 6, 3, groups=2, device=device),
            nn.Conv3d(2, 5, 2, device=device),
            nn.Linear(3, 7, device=device),
        )

    shapes = [[s.shape for s in layer_spectra(model(device), mode=mode)] for device in ("meta", "cpu")]
    assert shapes[0] == shapes[1]


def test_numbers_of_degenerate_layers():
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
