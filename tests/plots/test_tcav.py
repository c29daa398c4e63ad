"""The figure of TCAV: what it draws, and that it can be read in all sizes."""

import math
import warnings

import pytest
import torch
from figure_layout import defects

from lightning_factorlens.plots import tcav_figure
from lightning_factorlens.results import TCAVResult


def made(n_layers, n_classes, n_concepts, name="features.{}.relu", seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (n_layers, n_classes, n_concepts)
    mean = torch.randn(shape, generator=g, dtype=torch.float64)
    mean[:, :, 0] = math.nan
    p = torch.rand(shape, generator=g, dtype=torch.float64)
    names = tuple(None if k % 7 == 0 else k % n_classes for k in range(n_concepts))
    layers = tuple(name.format(k) for k in range(n_layers))
    none = (None,) * n_layers
    counts = torch.ones(n_classes).long()
    return TCAVResult(
        layers, tuple(range(n_classes)), counts, torch.arange(n_classes), names, "mean", (torch.zeros(1),) * n_layers,
        none, 16, 10, p, mean, p, p**2, mean,
    )  # fmt: skip


def artist(figure, gid):
    (found,) = figure.findobj(lambda a: a.get_gid() == gid)
    return found


def test_concepts_are_sorted_by_class_and_scaled_by_their_largest_derivative():
    result, untrained = made(2, 4, 6), made(2, 4, 6, seed=1)
    figure = tcav_figure(result, untrained)
    order = sorted(range(6), key=lambda k: math.inf if result.concept_classes[k] is None else result.concept_classes[k])
    values = torch.from_numpy(artist(figure, "derivative/features.1.relu").get_array().filled(math.nan))
    mean = result.mean_derivative[1][:, order]
    torch.testing.assert_close(values, mean / mean.abs().amax(0), equal_nan=True)
    assert artist(figure, "untrained/features.1.relu").get_array().shape == (4, 6)
    named = artist(figure, "named/derivative/features.0.relu")
    assert len(named.get_xdata()) == 5
    significant = artist(figure, "significant/derivative/features.0.relu")
    assert len(significant.get_xdata()) == int((result.p_corrected[0] <= 0.05).sum())
    assert artist(figure, "agreement").get_xdata().tolist() == result.agreement().tolist()
    assert list(artist(figure, "untrained_agreement").get_xdata()) == untrained.agreement().tolist()


def test_the_order_of_rows_and_columns_is_listed():
    figure = tcav_figure(made(1, 3, 6))
    text = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "classes 0, 1, 2; columns: concepts 3, 1, 4, 2, 5, 0, by the class of their images" in text


def test_there_is_no_figure_of_nothing():
    assert tcav_figure(made(0, 3, 3)) is None


LONG = "backbone.stages.{}.blocks.17.attention.output.projection.with_a_name_of_its_own"


@pytest.mark.parametrize(
    ("sizes", "name", "with_untrained"),
    [
        ((7, 10, 20), "features.{}.relu", True),
        ((50, 3, 64), LONG, True),
        ((1, 1, 1), "層.{}.θ_$1$", False),
        ((3, 200, 10), "", False),
    ],
)
def test_the_figure_can_be_read(sizes, name, with_untrained):
    result = made(*sizes, name=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = tcav_figure(result, made(*sizes, name=name) if with_untrained else None)
        assert not defects(figure)
