"""The figures of spectra draw the eigenvalues and the fit of the records."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from artists import by_id
from matplotlib.figure import Figure

from lightning_factorlens.plots.spectra import spectra_figure, spectrum_figure
from lightning_factorlens.plots.style import to_array


def test_panels_are_the_record(observe):
    o = observe()
    for ax, spectrum in zip(spectra_figure([o]).axes, o["weight_spectra"].layers, strict=True):
        lines, fit = by_id(ax.lines), spectrum.fit
        drawn = np.concatenate([lines["bulk"].get_xdata(), lines["tail"].get_xdata()])
        positive = spectrum.eigenvalues[spectrum.eigenvalues > 0].numpy()
        np.testing.assert_array_equal(drawn, positive)
        fraction = np.concatenate([lines["bulk"].get_ydata(), lines["tail"].get_ydata()])
        np.testing.assert_allclose(fraction, [(positive >= x).mean() for x in positive])
        assert len(lines["tail"].get_xdata()) == fit.n_tail
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        title = ax.get_title(loc="left")
        if math.isnan(fit.alpha):
            assert title.split("\n", 1)[1].replace("\n", " ") == f"no α: {fit.reason}"
            assert not ax.texts
            assert "fit" not in lines
            continue
        (x0, x1), (y0, y1) = lines["fit"].get_data()
        assert x0 == fit.x_min == lines["x_min"].get_xdata()[0]
        assert y0 == pytest.approx(fit.n_tail / len(positive))
        assert math.log(y1 / y0) / math.log(x1 / x0) == pytest.approx(1 - fit.alpha)
        assert f"α {fit.alpha:.2f} ± {fit.sigma:.2f}, tail {fit.n_tail} of {fit.n}" in title


def test_at_most_six_layers_are_drawn(observe, law):
    figure = spectra_figure([observe(spectra=tuple(law(f"features.{k}", 3.0) for k in range(30)))])
    names = [ax.get_title(loc="left").split("\n")[0] for ax in figure.axes]
    assert (len(names), names[0], names[-1]) == (6, "features.0", "features.29")


def test_without_spectra_there_is_no_figure(observe):
    assert spectra_figure([observe(spectra=())]) is None
    assert spectra_figure([observe(spectra=None)]) is None
    with pytest.raises(ValueError, match="history"):
        spectra_figure([])


def test_spectra_without_eigenvalues_and_dollar_signs_can_be_drawn(observe, law):
    dead = law("dead$_layer", 2.0)
    fit = replace(dead.fit, alpha=math.nan, x_min=math.nan, n_tail=0, reason="all eigenvalues are $0$")
    empty = replace(dead, eigenvalues=dead.eigenvalues[:0], fit=fit)
    weak = replace(dead, fit=replace(dead.fit, reason="weak_$"))
    to_array(spectra_figure([observe(spectra=(empty, weak))]))


def test_the_edge_of_the_bulk_and_all_numbers_are_shown(observe, law):
    with_edge = replace(law("a", 3.0), mp_edge=1.5, spikes=3, stable_rank=2.5, traps=1)
    with_edge = replace(with_edge, fit=replace(with_edge.fit, p_value=0.42))
    panels = spectra_figure([observe(spectra=(with_edge, law("b", 3.0)))])
    single = spectrum_figure(with_edge)
    edges = [by_id(ax.lines).get("mp_edge") for ax in (*panels.axes, *single.axes)]
    assert [edge and edge.get_xdata()[0] for edge in edges] == [1.5, None, 1.5]
    (text,) = (text.get_text() for text in single.texts)
    assert "p 0.42" in text
    assert "spikes 3" in text
    assert "traps 1" in text
    assert "lognormal" not in text
    to_array(single)
    to_array(spectrum_figure(replace(law("dead", 2.0), eigenvalues=torch.empty(0))))


def test_one_spectrum_draws_into_given_axes(law):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert spectrum_figure(law("a", 3.0), ax=right) is figure
    assert "fit" in by_id(right.lines)
    assert not left.lines
    assert not figure.texts
