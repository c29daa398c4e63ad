"""Plateau against a closed form."""

import math

import pytest

from lightning_factorlens.stopping import Plateau, Smoothing, replay


@pytest.mark.parametrize("fraction", [0.2, 0.02, 0.001])
def test_an_exponential_is_stopped_where_its_closed_form_says(fraction):
    """For c_t = qᵗ the last w measurements brought (q^{t−w} − qᵗ) / (q − qᵗ) of the improvement."""
    q, w = 0.8, 4
    decisions = replay(Plateau(w, fraction), [q**t for t in range(1, 61)])
    expected = next(t for t in range(w + 1, 61) if (q ** (t - w) - q**t) <= fraction * (q - q**t))
    assert [d.stop for d in decisions].index(True) + 1 == expected


def test_unit_and_offset_do_not_matter_and_a_metric_that_never_improves_is_stopped():
    falling = [math.exp(-t / 5) + 0.01 * math.sin(9 * t) for t in range(60)]
    scaled = [1000 * v - 7 for v in falling]
    rule = Plateau(5, 0.03, Smoothing(window=3, weight=0.5))
    assert [d.stop for d in replay(rule, falling)] == [d.stop for d in replay(rule, scaled)]
    decisions = replay(Plateau(3), [1.0, 2, 3, 4, 5])
    assert [d.stop for d in decisions] == [False, False, False, True, True]
    assert decisions[-1].reason == "no measurement is better than the first one"


def test_an_error_names_the_wrong_argument():
    with pytest.raises(ValueError, match="fraction: must be at least 0 and below 1, found 1"):
        Plateau(fraction=1)
