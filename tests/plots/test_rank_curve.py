"""The figure of error against rank draws the numbers of the records."""

import pytest
from artists import by_id
from matplotlib.figure import Figure

from lightning_factorlens.plots.rank_curve import rank_curve_figure
from lightning_factorlens.results import RankCurve, RequiredRank


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def total(observation, measurement="reconstruction_error"):
    return observation[measurement]["total"]


def test_lines_and_texts_are_the_record(observe):
    history = [observe(epoch) for epoch in (0, 1, 5)]
    (ax,) = rank_curve_figure(history).axes
    lines, now = by_id(ax.lines), history[-1]
    drawn = {"current": total(now), "svd": total(now, "svd_error")}
    drawn |= {f"past/{o.epoch}": total(o) for o in history[:-1]}
    for name, curve in drawn.items():
        assert tuple(lines[name].get_xdata()) == curve.ranks
        assert tuple(lines[name].get_ydata()) == curve.rel_error
    assert lines["past/0"].get_alpha() < lines["past/1"].get_alpha() < 1
    assert (list(lines["required/0.3"].get_xdata()), list(lines["required/0.3"].get_ydata())) == ([9.25], [0.3])
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4", "8", "16", "32"]
    assert not ax.texts
    assert legend_of(ax)[3:] == ["30 % error: rank 9.2", "12.5 % error: rank > 32, the largest tried"]
    assert ax.get_title(loc="left") == "Error against rank, epoch 5, step 507"


def test_a_threshold_above_the_curve_is_inside_of_the_axes_and_not_marked_on_it(observe):
    easy = RequiredRank(0.95, 1.0, False)
    (ax,) = rank_curve_figure([observe(required_ranks=(easy,))]).axes
    assert "required/0.95" not in by_id(ax.lines)
    assert ax.get_ylim()[1] > 0.95
    assert legend_of(ax)[-1] == "95 % error: rank 1 already has less"


def test_ranks_that_would_overlap_have_no_names(observe):
    ranks = tuple(range(1, 33))
    curve = RankCurve(ranks, *[tuple(1 / r for r in ranks)] * 3)
    (ax,) = rank_curve_figure([observe(curves={"total": curve}, svd_curves=None)]).axes
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert [name for name in names if name][:4] == ["1", "2", "3", "4"]
    assert names[-2:] == ["", "32"]


def test_a_baseline_without_svd_error_has_one_curve(observe):
    for svd_curves in (None, {}):
        (ax,) = rank_curve_figure([observe(0, svd_curves=svd_curves)]).axes
        assert not {"svd", "past/0"} & set(by_id(ax.lines))


def test_of_a_long_run_twelve_earlier_curves_are_drawn(observe):
    (ax,) = rank_curve_figure([observe(epoch) for epoch in range(40)]).axes
    past = [name for name in by_id(ax.lines) if name.startswith("past/")]
    assert (len(past), past[0], past[-1]) == (12, "past/0", "past/38")


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="history"):
        rank_curve_figure([])


def test_without_the_record_there_is_no_figure(observe):
    assert rank_curve_figure([observe(0), observe(1, curves=None)]) is None


def test_earlier_observations_may_lack_the_record_and_the_required_ranks_may_be_missing(observe):
    history = [observe(0, curves=None), observe(1), observe(2, required_ranks=None)]
    (ax,) = rank_curve_figure(history).axes
    assert set(by_id(ax.lines)) == {"past/1", "current", "svd"}
    assert not ax.texts
    assert legend_of(ax) == ["factorisation, epoch 2", "epoch 1", "SVD: no factorisation passes below"]


def test_it_draws_into_given_axes(observe):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert rank_curve_figure([observe()], ax=right) is figure
    assert "current" in by_id(right.lines)
    assert not left.lines
    (upper, lower) = Figure().subfigures(2)
    ax = lower.subplots()
    assert rank_curve_figure([observe()], ax=ax) is upper.figure


def test_a_single_observation_is_no_history(observe):
    with pytest.raises(TypeError, match=r"history: must be a list of observations, found one .* pass \[observation\]"):
        rank_curve_figure(observe(1))
