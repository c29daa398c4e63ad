"""Root mean squares in a lens against the function that computes them."""

import math

import pytest
from small_lens import make_probe


def test_the_record_holds_the_root_mean_square_of_all_groups(measured):
    observation, groups, _ = measured
    assert observation["rms"].by_scope == groups.rms()
    assert observation["rms"]["input/0"] == pytest.approx(math.sqrt(float(make_probe().double().square().mean())))
