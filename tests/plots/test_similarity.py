"""The heat maps of neuron similarity are the cosines of the record."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from artists import by_id

from lightning_factorlens.plots.similarity import similarity_figure


def test_heat_maps_and_curves_are_the_record(observe):
    o = observe()
    layers = o["neuron_similarity"].layers
    maps, bar, eigenvalues, depth = similarity_figure([o]).axes
    assert bar.get_label() == "<colorbar>"
    assert [tick.get_text() for tick in depth.get_yticklabels()] == [s.layer for s in layers]
    images, lines = by_id(maps.images), by_id(eigenvalues.lines)
    assert len(images) == len(layers) == 4
    for s in layers:
        image = images[f"cosine/{s.layer}"]
        np.testing.assert_array_equal(image.get_array(), s.cosine.numpy())
        assert image.get_clim() == (0, 1)
        np.testing.assert_array_equal(lines[f"eigenvalues/{s.layer}"].get_ydata(), s.eigenvalues.numpy())
    lines = by_id(depth.lines)
    assert list(lines["mean_cosine"].get_xdata()) == [s.mean_cosine for s in layers]
    assert list(lines["mean_top_k"].get_xdata()) == [s.mean_top_k for s in layers]


def test_negative_cosines_have_zero_in_the_middle_of_every_scale(observe):
    first, *rest = observe()["neuron_similarity"].layers
    first = replace(first, cosine=-first.cosine)
    maps = similarity_figure([observe(similarities=(first, *rest))]).axes[0]
    assert {image.get_clim() for image in maps.images} == {(-1, 1)}


def test_without_anything_to_compare_there_is_no_figure(observe):
    assert similarity_figure([observe(similarities=None)]) is None
    assert similarity_figure([observe(similarities=())]) is None
    first = observe()["neuron_similarity"].layers[0]
    one = replace(first, rank=1, cosine=torch.ones(1, 1), eigenvalues=torch.ones(1))
    assert similarity_figure([observe(similarities=(one,))]) is None
    with pytest.raises(ValueError, match="history"):
        similarity_figure([])
