"""The generalization loss against its definition on whole arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.stopping import GeneralizationLoss, replay


@settings(max_examples=60, deadline=None)
@given(series=st.lists(st.floats(-3, 3), min_size=1, max_size=30), fraction=st.floats(0, 1), patience=st.integers(1, 4))
def test_the_rule_equals_its_definition(series, fraction, patience):
    """The definition on whole arrays has no state and no loop over measurements but this one."""
    lowest = np.minimum.accumulate(series)
    within = np.array(series) <= lowest + fraction * np.abs(lowest)
    for t, decision in enumerate(replay(GeneralizationLoss(fraction, patience), series), 1):
        assert decision.best_epoch == 1 + np.flatnonzero(within[:t])[-1]
        assert decision.stop == (t >= patience and not within[max(0, t - patience) : t].any())


def test_a_small_rise_is_allowed_and_a_large_one_stops():
    slow = [1.0, 1.05, 1.1, 1.15, 1.19] + [1.19] * 20
    assert not any(d.stop for d in replay(GeneralizationLoss(0.2, 5), slow))
    assert replay(GeneralizationLoss(0.2, 5), slow)[-1].best_epoch == 25
    rising = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    decisions = replay(GeneralizationLoss(0.2, 3), rising)
    assert [d.stop for d in decisions].index(True) + 1 == 6
    assert decisions[5].best_epoch == 3
    expected = "1.5 is more than 20% above the lowest value, 1, for 3 measurements, patience is 3"
    assert expected in decisions[5].reason


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeneralizationLoss(-0.1), r"fraction: must be a number ≥ 0, found -0\.1"),
        (lambda: GeneralizationLoss(0.1, 0), "patience: must be a whole number ≥ 1, found 0"),
    ],
)
def test_an_error_names_the_wrong_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()
