"""Patience against Lightning's EarlyStopping."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import EarlyStopping

from lightning_factorlens.stopping import Patience, replay


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-3, 3, width=16), min_size=1, max_size=30),
    patience=st.integers(1, 5),
    min_delta=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_patience_stops_where_lightnings_early_stopping_stops(values, patience, min_delta):
    stock = EarlyStopping("x", patience=patience, min_delta=min_delta)
    expected = [stock._evaluate_stopping_criteria(torch.tensor(v, dtype=torch.float64))[0] for v in values]
    assert [d.stop for d in replay(Patience(patience, min_delta), values)] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience: must be a whole number ≥ 1, found 0"),
        ({"patience": 1, "min_delta": -1}, "min_delta: must be a number ≥ 0, found -1"),
    ],
)
def test_an_error_names_the_wrong_argument(options, message):
    with pytest.raises(ValueError, match=message):
        Patience(**options)
