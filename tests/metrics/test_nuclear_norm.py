"""Nuclear norm of the predictions against numpy and its bound."""

import math

import numpy as np
import pytest
import torch
from outputs import logits, softmax

from lightning_factorlens.metrics.nuclear_norm import nuclear_norm


def test_it_reaches_its_bound_for_sure_and_balanced_predictions():
    x = logits()
    assert nuclear_norm(x) == pytest.approx(np.linalg.norm(softmax(x), "nuc") / math.sqrt(40 * 5), rel=1e-6)
    assert nuclear_norm(200.0 * torch.eye(5).repeat(8, 1)) == pytest.approx(1, rel=1e-6)
    assert nuclear_norm(200.0 * torch.eye(5)[:1].repeat(40, 1)) < 0.5


@pytest.mark.parametrize("convert", [lambda x: x.log_softmax(1), lambda x: x.softmax(1)], ids=["log", "probabilities"])
def test_outputs_may_be_logits_log_probabilities_or_probabilities(convert):
    assert nuclear_norm(convert(logits())) == pytest.approx(nuclear_norm(logits()), rel=1e-4)


def test_not_a_number_gives_no_value():
    x = logits().clone()
    x[3, 2] = math.nan
    assert math.isnan(nuclear_norm(x))
    assert math.isnan(nuclear_norm(x[:0]))
