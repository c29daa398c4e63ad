"""Spectra as rows and as a data frame."""

import sys

import pytest
from small_models import cnn_with_transposed_convolution
from torch import nn

from lightning_factorlens.spectra.layer_spectra import layer_spectra
from lightning_factorlens.spectra.table import spectra_frame, spectra_rows


def test_rows_and_frame_hold_the_same_columns():
    pandas = pytest.importorskip("pandas")
    spectra = layer_spectra(cnn_with_transposed_convolution())
    rows = spectra_rows(spectra)
    frame = spectra_frame(spectra)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(rows[0])
    assert {"layer", "alpha", "stable_rank", "mp_edge", "spikes", "p_value", "reason"} <= set(rows[0])
    assert not {"eigenvalues", "fit", "external"} & set(rows[0])
    for row, spectrum in zip(rows, spectra):
        assert row["alpha"] is spectrum.fit.alpha
        assert row["stable_rank"] == pytest.approx(float(spectrum.eigenvalues.sum()) / spectrum.lambda_max)
    assert spectra_rows(()) == []


def test_a_missing_pandas_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"spectra_frame needs pandas: pip install pandas, or take spectra_rows"):
        spectra_frame(layer_spectra(nn.Linear(30, 30)))
