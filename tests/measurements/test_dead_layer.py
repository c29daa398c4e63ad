"""What a lens reports of a layer all of whose activations are zero."""

import math

import pytest
import torch
from small_lens import make_net, make_probe

from lightning_factorlens import FactorLens, LensOptions, default_measurements


@pytest.fixture(scope="module")
def observation():
    net = make_net()
    with torch.no_grad():
        net.hidden.bias.fill_(-1e6)
    return FactorLens(net, LensOptions(ranks=(1, 2, 4))).observe(make_probe())


def test_its_numbers_are_nan_except_its_scale(observation):
    for quantity in ("rel_error", "rmse", "svd_rel_error", "svd_rmse"):
        assert math.isnan(observation.value(quantity, "act", 2))
        assert math.isfinite(observation.value(quantity, "total", 2))
        assert math.isfinite(observation.value(quantity, "activations", 2))
    assert math.isnan(observation.value("effective_rank", "act"))
    for quantity in ("similarity_mean_cosine", "similarity_mean_top_k"):
        assert math.isnan(observation.value(quantity, "act", 2))
        assert math.isfinite(observation.value(quantity, "relu", 2))
    assert observation.value("rms", "act") == 0


def test_the_observation_says_why_once(observation):
    notes = [note for note in observation.notes if "act" in note and "zero" in note]
    assert notes == ["act: no error, SVD error, effective rank or similarity: all its values are zero"]


def test_its_figures_can_be_drawn(observation):
    drawn = 0
    for measurement in default_measurements():
        for figure in measurement.figures:
            drawn += figure.draw([observation]) is not None
    assert drawn >= 4
