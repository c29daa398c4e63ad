"""The figure of α draws the numbers of the records."""

import math
from dataclasses import replace

import numpy as np
import pytest
from artists import by_id

from lightning_factorlens.plots.alpha import alpha_figure
from lightning_factorlens.plots.style import to_array


@pytest.fixture
def history(observe, law):
    def at(epoch):
        few = law("few", 9.0, n=12, n_tail=8)
        dead = law("dead", 2.0)
        dead = replace(dead, fit=replace(dead.fit, alpha=math.nan, n=0))
        return observe(epoch, spectra=(law("a", 3.0 + epoch), dead, few, law("b$_1", 2.0)))

    return [at(epoch) for epoch in (0, 1, 4)]


def test_alpha_over_depth_and_epochs_is_the_record(history):
    depth, epochs = alpha_figure(history).axes
    lines = by_id(depth.lines)
    np.testing.assert_array_equal(lines["current"].get_xdata(), [7.0, math.nan, math.nan, 2.0])
    assert list(lines["current"].get_ydata()) == [0, 1, 2, 3]
    assert lines["current"].get_linestyle() == "None"  # layers are not a series
    np.testing.assert_array_equal(lines["past/1"].get_xdata(), [4.0, math.nan, 9.0, 2.0])
    np.testing.assert_array_equal(lines["weak"].get_xdata(), [math.nan, math.nan, 9.0, math.nan])
    assert [tick.get_text() for tick in depth.get_yticklabels()] == ["a", "dead", "few", "b$_1"]
    lines = by_id(epochs.lines)
    assert (list(lines["layer/a"].get_xdata()), list(lines["layer/a"].get_ydata())) == ([0, 1, 4], [3.0, 4.0, 7.0])
    assert np.isnan(lines["layer/few"].get_ydata()).all()
    labels = [text.get_text() for text in epochs.get_legend().get_texts()]
    assert labels == ["a", "b$_1", "mean of the layers"]
    assert list(lines["mean"].get_ydata()) == [o["weight_spectra"].summary.mean_alpha for o in history]
    to_array(alpha_figure(history[:1]))


def test_earlier_observations_may_lack_the_record(observe, history):
    earlier = [observe(0, spectra=None), observe(1, alpha=None), *history[2:]]
    lines = by_id(alpha_figure(earlier).axes[1].lines)
    np.testing.assert_array_equal(lines["mean"].get_ydata(), [math.nan, math.nan, 3.0])
    np.testing.assert_array_equal(lines["layer/a"].get_ydata(), [math.nan, math.nan, 7.0])
    to_array(alpha_figure(earlier))


def test_without_any_alpha_there_is_no_figure(observe):
    assert alpha_figure([observe(spectra=())]) is None
    assert alpha_figure([observe(0), observe(1, spectra=None)]) is None
    with pytest.raises(ValueError, match="history"):
        alpha_figure([])
