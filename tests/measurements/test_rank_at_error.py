"""Required ranks in a lens against the function that computes them."""

import pytest

from lightning_factorlens.measurements import RankAtError
from lightning_factorlens.metrics.required_rank import required_rank


def test_the_record_holds_one_rank_for_each_threshold(measured):
    observation, groups, factorization = measured
    curve = groups.curves(factorization)["total"]
    assert observation["required_rank"].ranks == (required_rank(curve, 0.6), required_rank(curve, 0.25))
    assert observation.value("rank_at_25pct", "total") == required_rank(curve, 0.25).rank


@pytest.mark.parametrize("thresholds", [0.3, "0.3", (1.5,), (0.0,), (1,), [0.3, None]])
def test_wrong_thresholds_are_named(thresholds):
    with pytest.raises(ValueError, match="thresholds: must be a list of relative errors between 0 and 1, found"):
        RankAtError(thresholds)


def test_every_threshold_has_tags_of_its_own():
    tags = [scalar.tag for scalar in RankAtError((0.5, 0.125)).scalars]
    assert tags == [
        "{prefix}/rank_at_50pct",
        "{prefix}_total/rank_at_50pct_is_lower_bound",
        "{prefix}/rank_at_12p5pct",
        "{prefix}_total/rank_at_12p5pct_is_lower_bound",
    ]
