"""The first figure answers three questions in words, with the numbers that the chart shows."""

import math

import numpy as np
import pytest
from artists import by_id

from lightning_factorlens.measurements.dashboard import DASHBOARD
from lightning_factorlens.plots.dashboard import HEIGHT, dashboard_figure
from lightning_factorlens.plots.style import DPI, WIDTH, to_array
from lightning_factorlens.results.findings import StopAdvice, run_findings
from lightning_factorlens.stopping.run_advice import default_advice

LEARNING = [2.3 * 0.9**k for k in range(20)]
MEMORISING = [2.3, 1.9, 1.6, 1.4, 1.3, 1.2, 1.1, 1.0, *[1.05 + 0.05 * k for k in range(14)]]


def run_of(observe, values):
    return [observe(epoch, consistency=value) for epoch, value in enumerate(values)]


def words(figure):
    return {text.get_gid(): text.get_text() for text in figure.texts if text.get_gid()}


def test_a_run_that_learns(observe):
    history = run_of(observe, LEARNING)
    figure = DASHBOARD.draw(history)
    assert words(figure) == {
        "learning": "yes",
        "learning/reason": f"(lowest consistency {LEARNING[-1]:.3g} at epoch 19)",
        "memorising": "no sign",
        "memorising/reason": "(now at its lowest)",
        "stop": "not yet",
        "stop/reason": "(consistency: best is epoch 19)",
    }
    assert "stop" not in by_id(figure.axes[0].lines)


def test_a_run_that_memorises(observe):
    history = run_of(observe, MEMORISING)
    advice = default_advice(history)
    figure = dashboard_figure(history, advice)
    found = words(figure)
    assert found["memorising"] == "likely, or over-confident"
    assert found["memorising/reason"] == "(+70% since epoch 7)"
    assert found["learning/reason"] == "(lowest consistency 1 at epoch 7)"
    assert found["stop"] == f"epoch {advice.best_epoch}"
    assert found["stop/reason"] == f"(best by consistency, stop after {advice.stop_epoch})"
    lines = by_id(figure.axes[0].lines)
    assert list(lines["consistency"].get_ydata()) == MEMORISING
    assert (list(lines["lowest"].get_xdata()), list(lines["lowest"].get_ydata())) == ([7], [1.0])
    assert lines["best"].get_xdata()[0] == advice.best_epoch
    assert lines["stop"].get_xdata()[0] == advice.stop_epoch
    assert [text.get_text() for text in figure.texts if text.get_text().endswith("?")] == [
        finding.question for finding in run_findings(history).all
    ]


def test_a_short_rise_says_how_short_it_is(observe):
    found = words(DASHBOARD.draw(run_of(observe, [*MEMORISING[:8], 1.0, 1.0, 1.2, 1.26])))
    assert found["memorising"] == "no sign"
    assert found["memorising/reason"] == "(+26% since epoch 7, for 2 of 5 values)"


def test_at_the_first_observation_it_says_that_it_is_too_early(observe):
    assert words(DASHBOARD.draw(run_of(observe, [2.3])))["learning"] == "cannot tell"
    found = words(DASHBOARD.draw(run_of(observe, MEMORISING[:8])))
    assert found["learning/reason"] == found["memorising/reason"] == "(too early: 2 of 6 values)"


def test_without_consistency_the_effective_rank_is_drawn(observe):
    figure = DASHBOARD.draw([observe(0, consistency=None), observe(1, consistency=math.nan)])
    lines = by_id(figure.axes[0].lines)
    np.testing.assert_array_equal(lines["effective_rank"].get_ydata(), [20.5, 20.5])
    assert words(figure)["stop/reason"] == "(no consistency measured)"
    assert DASHBOARD.draw([observe(0, consistency=None, effective_rank=None)]) is None
    with pytest.raises(ValueError, match="history"):
        dashboard_figure([])


def test_the_advice_of_a_callback_is_shown(observe):
    figure = dashboard_figure(run_of(observe, MEMORISING), StopAdvice("LabelFreeStopping", 7, None))
    assert words(figure)["stop/reason"] == "(LabelFreeStopping: best is epoch 7)"


def test_it_has_the_proportions_of_the_images_on_tensorboards_first_page(observe):
    pixels = to_array(DASHBOARD.draw(run_of(observe, LEARNING)))
    assert pixels.shape[:2] == (round(HEIGHT * DPI), round(WIDTH * DPI))
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(326.5 / 215, rel=0.01)


def test_the_stopping_rule_of_the_run_answers_where_there_is_one(observe):
    history = run_of(observe, MEMORISING)
    own = StopAdvice("LabelFreeStopping", best_epoch=9, stop_epoch=None)
    assert words(DASHBOARD.draw(history, advice=own))["stop/reason"] == "(LabelFreeStopping: best is epoch 9)"
    undecided = StopAdvice("LabelFreeStopping", best_epoch=None, stop_epoch=None)
    expected = words(DASHBOARD.draw(history))
    assert words(DASHBOARD.draw(history, advice=undecided)) == expected
    assert expected["stop/reason"].startswith("(best by consistency, ")
