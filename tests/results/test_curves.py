"""Names of required ranks, and the rank that represents the others."""

import pytest

from lightning_factorlens.results.curves import middle_rank, required_rank_name


@pytest.mark.parametrize(("tau", "text"), [(0.3, "30"), (0.125, "12p5"), (0.07, "7"), (0.001, "0p1"), (1.0, "100")])
def test_a_threshold_is_a_percentage_without_a_dot(tau, text):
    assert required_rank_name(tau) == f"rank_at_{text}pct"


def test_middle_rank():
    assert [middle_rank(r) for r in ((4,), (1, 2), (1, 2, 4, 8, 16, 32))] == [4, 2, 8]
