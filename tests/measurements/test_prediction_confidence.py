"""Confidence of the predictions in a lens against the functions."""

import pytest
import torch
from small_lens import lens_with, make_probe
from torch import nn

from lightning_factorlens.measurements import PredictionConfidence
from lightning_factorlens.metrics.confidence import confidence, entropy, mutual_information
from lightning_factorlens.metrics.nuclear_norm import nuclear_norm


def test_the_record_holds_the_functions_of_the_models_outputs():
    lens, probe = lens_with(PredictionConfidence()), make_probe()
    with torch.no_grad():
        outputs = lens.model(probe)
    record = lens.observe(probe)["prediction_confidence"]
    expected = {
        "confidence": confidence(outputs),
        "prediction_entropy": entropy(outputs),
        "mutual_information": mutual_information(outputs),
        "nuclear_norm": nuclear_norm(outputs),
    }
    assert {value.quantity: value.value for value in record.values()} == pytest.approx(expected, rel=1e-6)


def test_outputs_without_classes_are_noted():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    observation = lens_with(PredictionConfidence(), net=net, outputs=None).observe(make_probe())
    assert "prediction_confidence" not in observation
    (note,) = observation.notes
    assert note.startswith("no prediction confidence: nothing says whether (N, 3, 6, 6) are class scores.")
