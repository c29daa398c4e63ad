"""Changes of the predictions between two observations against numpy."""

import numpy as np
import pytest
from outputs import logits, softmax

from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes


def test_prediction_changes_and_mean_total_variation():
    a, b = logits(), logits(seed=1)
    assert prediction_changes(a, b) == np.mean(softmax(a).argmax(1) != softmax(b).argmax(1))
    assert mean_total_variation(a, b) == pytest.approx(0.5 * np.abs(softmax(a) - softmax(b)).sum(1).mean(), rel=1e-5)
    assert prediction_changes(a, 2 * a) == 0 < mean_total_variation(a, 2 * a)
