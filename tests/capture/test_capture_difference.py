import math

import torch

from lightning_factorlens.capture import Capture
from lightning_factorlens.capture.capture_difference import largest_difference
from lightning_factorlens.results import Block


def capture(value, outputs=None):
    samples = torch.tensor([[4.0, value]])
    return Capture([Block("relu", "activation", samples, (2,))], outputs)


def test_the_difference_is_relative_to_the_largest_value_and_infinite_where_nothing_can_be_compared():
    scores = torch.ones(1, 3)
    assert largest_difference(capture(1.0, scores), capture(1.0, scores)) == 0
    assert largest_difference(capture(1.0), capture(3.0)) == 0.5
    assert largest_difference(capture(1.0, scores), capture(1.0, 2 * scores)) == 1
    assert largest_difference(capture(1.0), capture(1.0, scores)) == math.inf
    assert largest_difference(capture(1.0), capture(math.nan)) == math.inf
