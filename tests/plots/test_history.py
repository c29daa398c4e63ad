"""The figure over the epochs draws the numbers of the records."""

import math

import numpy as np
import pytest
from artists import by_id

from lightning_factorlens.plots.history import history_figure
from lightning_factorlens.plots.style import to_array
from lightning_factorlens.results import RequiredRank
from lightning_factorlens.results.findings import StopAdvice


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_lines_and_texts_are_the_record(observe):
    values = (2.0, 0.75, None, 2.25)
    history = [observe(epoch, consistency=value) for epoch, value in zip((0, 11, 12, 15), values)]
    consistency, ranks = history_figure(history).axes
    lines = by_id(consistency.lines)
    np.testing.assert_array_equal(lines["consistency"].get_ydata(), [2.0, 0.75, math.nan, 2.25])
    assert list(lines["consistency"].get_xdata()) == [0, 11, 12, 15]
    assert (list(lines["best"].get_xdata()[:1]), list(lines["best"].get_ydata()[:1])) == ([11], [0.75])
    assert consistency.get_title(loc="left") == "Consistency; best epoch 11 by default rule on consistency"
    lines = by_id(ranks.lines)
    assert list(lines["effective_rank"].get_ydata()) == [o["effective_rank"]["total"] for o in history]
    assert list(lines["rank_at/0.3"].get_ydata()) == [9.25] * 4
    assert list(lines["capped/0.125"].get_ydata()) == [32.0] * 4
    assert legend_of(ranks) == [
        "effective rank, now 20.5",
        "rank@30%, now 9.25",
        "rank@12.5%, now > 32",
        "hollow: more than that",
    ]
    assert {ax.get_xlabel() for ax in (consistency, ranks)} == {"epoch (15 is step 1507)"}


def test_the_epoch_of_the_stopping_rule_is_marked(observe):
    history = [observe(epoch, consistency=value) for epoch, value in enumerate((2.0, 0.75, 0.8))]
    consistency = history_figure(history, StopAdvice("LabelFreeStopping", 2, None, signal="loss_signal")).axes[0]
    assert consistency.get_title(loc="left") == "Consistency; best epoch 2 by LabelFreeStopping on loss_signal"
    assert by_id(consistency.lines)["best"].get_xdata()[0] == 2


def test_without_consistency_only_ranks_are_drawn(observe):
    (ranks,) = history_figure([observe(k, consistency=None) for k in (0, 1)]).axes
    assert "effective_rank" in by_id(ranks.lines)


def test_a_consistency_that_is_nowhere_finite_is_not_drawn(observe):
    (ranks,) = history_figure([observe(k, consistency=math.nan) for k in (0, 1)]).axes
    assert "effective_rank" in by_id(ranks.lines)
    history = [observe(k, consistency=value) for k, value in enumerate((math.nan, math.inf, 0.5))]
    consistency = history_figure(history).axes[0]
    assert consistency.get_title(loc="left") == "Consistency; best epoch 2 by default rule on consistency"


def test_without_ranks_only_consistency_is_drawn(observe):
    history = [observe(k, effective_rank=None, required_ranks=None) for k in (0, 1)]
    (consistency,) = history_figure(history).axes
    assert "consistency" in by_id(consistency.lines)
    to_array(history_figure(history))


def test_without_any_of_the_records_there_is_no_figure(observe):
    history = [observe(k, effective_rank=None, required_ranks=None, consistency=None) for k in (0, 1)]
    assert history_figure(history) is None


def test_ranks_that_some_observations_lack_leave_gaps(observe):
    other_threshold = (RequiredRank(0.5, 3.0, False),)
    history = [
        observe(0, required_ranks=None),
        observe(1, effective_rank=None),
        observe(2, required_ranks=other_threshold),
        observe(3),
    ]
    lines = by_id(history_figure(history).axes[1].lines)
    nan = math.nan
    np.testing.assert_array_equal(lines["rank_at/0.3"].get_ydata(), [nan, 9.25, nan, 9.25])
    np.testing.assert_array_equal(lines["effective_rank"].get_ydata(), [20.5, nan, 20.5, 20.5])
    history.append(observe(4, effective_rank=None, required_ranks=None))  # the last known values remain
    assert legend_of(history_figure(history).axes[1])[:2] == ["effective rank, now 20.5", "rank@30%, now 9.25"]


def test_the_first_observation_has_no_figure_and_an_empty_history_is_refused(observe):
    assert history_figure([observe()]) is None
    with pytest.raises(ValueError, match="history"):
        history_figure([])
