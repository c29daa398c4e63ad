"""weightwatcher as a backend: its results under its names, and what it leaves unchanged."""

import math
import sys
import warnings

import pytest
import torch
from silence import silence
from small_models import cnn_with_transposed_convolution
from torch import nn

from lightning_factorlens.spectra.layer_spectra import layer_spectra
from lightning_factorlens.spectra.table import spectra_frame


def silent(function):
    with silence():
        return function()


@pytest.fixture(scope="module")
def weightwatcher():
    return silent(lambda: pytest.importorskip("weightwatcher"))


def test_results_of_weightwatcher_keep_their_names(weightwatcher, capsys):
    model = cnn_with_transposed_convolution()
    table = silent(lambda: weightwatcher.WeightWatcher(model=cnn_with_transposed_convolution()).analyze(plot=False))
    filters = list(warnings.filters)
    state = {k: v.clone() for k, v in model.state_dict().items()}
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


def test_every_layer_with_values_is_analyzed(weightwatcher):
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


def test_a_missing_weightwatcher_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "weightwatcher", None)
    with pytest.raises(ImportError, match=r"pip install 'lightning-factorlens\[weightwatcher\]'"):
        layer_spectra(cnn_with_transposed_convolution(), backend="weightwatcher")
