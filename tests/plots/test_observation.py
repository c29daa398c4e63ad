"""The figure of one observation draws its numbers, and notebooks show it."""

from dataclasses import replace

import numpy as np
import pytest
from artists import by_id

from lightning_factorlens.plots import observation_figure


def test_both_panels_are_the_record(observe):
    o = observe()
    figure = observation_figure(o)
    left, right = figure.axes
    lines = by_id(left.lines)
    assert list(lines["current"].get_ydata()) == list(o["reconstruction_error"]["total"].rel_error)
    assert list(lines["svd"].get_ydata()) == list(o["svd_error"]["total"].rel_error)
    bars = {round(p.get_x(), 2): p.get_height() for p in right.patches if p.get_height()}
    assert bars == {2.5: 1, 3.5: 1, 4.0: 1}
    assert right.lines[0].get_xdata()[0] == pytest.approx(np.mean([2.5, 3.5, 4.0]))
    assert right.get_title(loc="left") == "α of 3 layers, mean 3.33 (dashed); 1 without"


def test_a_notebook_shows_it_as_png(observe):
    assert observation_figure(observe())._repr_png_()[:4] == b"\x89PNG"


def test_it_needs_no_tensors(observe):
    o = observe()
    assert observation_figure(o.without_tensors())._repr_png_() == observation_figure(o)._repr_png_()


def test_an_alpha_beyond_the_axis_is_in_the_last_bar(observe, law):
    o = observe(spectra=(law("a", 2.5), law("b", 60.0)))
    right = observation_figure(o).axes[1]
    assert {round(p.get_x(), 2) for p in right.patches if p.get_height()} == {2.5, 9.5}
    assert "9.5 and above" in right.get_xlabel()


def test_a_text_replaces_what_was_not_measured(observe):
    curves = {"total": observe()["reconstruction_error"]["total"]}
    bare = replace(observe(0, curves=curves), inputs=None, factorization=None)
    bare = replace(bare, records={"reconstruction_error": bare["reconstruction_error"]})
    left, right = observation_figure(bare).axes
    assert "current" in by_id(left.lines)
    assert right.texts[0].get_text() == "no layer has an α"
    left, right = observation_figure(replace(bare, records={})).axes
    assert left.texts[0].get_text() == "no reconstruction error"
    assert observation_figure(replace(bare, records={}))._repr_png_()[:4] == b"\x89PNG"
