"""`plot` of results and metrics: a figure and its axes, as torchmetrics returns them."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from artists import by_id
from figure_layout import defects
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from small_lens import make_net, make_probe

from lightning_factorlens import FactorLens, results
from lightning_factorlens.concepts import concept_page, follow_concepts
from lightning_factorlens.hierarchy import exemplary_images, hierarchy, hierarchy_report, significance
from lightning_factorlens.metrics.torchmetrics import Confidence
from lightning_factorlens.plots._result_figures import FIGURES
from lightning_factorlens.results import LayerHierarchies
from lightning_factorlens.visualization import Channel, Settings, unit_spread, weight_pictures

#: What the figure of a result needs besides the result.
OPTIONS = {results.Exemplars: {"inputs": make_probe()}}


@pytest.fixture(autouse=True)
def no_window():
    mpl.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def found():
    """One result of every type that has a figure."""
    lens = FactorLens(make_net(), ranks=(1, 2, 4), outputs="classes")
    images = make_probe()
    observations = [lens.observe(images), lens.observe(images, epoch=1, step=10)]
    concepts = lens.concepts(images, rank=2)
    page = concept_page(concepts)
    untrained = [make_net(seed) for seed in range(2)]
    signals = lens.signals(images)["conv"]
    classes = torch.arange(len(images)) % 2
    tree = hierarchy(significance(signals, q=0.6), classes, p=0.3)
    pictures = lens.visualize(images, [Channel("conv", 0)], Settings(steps=2))
    return [
        observations[0],
        results.History(observations),
        observations[0]["reconstruction_error"],
        observations[0]["weight_spectra"],
        observations[0]["weight_spectra"].layers[0],
        observations[0]["neuron_similarity"],
        lens.node_health(images),
        lens.node_importance(images),
        unit_spread([make_net(2), make_net(3)], untrained),
        lens.tcav(images, concepts, count=4),
        page,
        results.ConceptRecord(None, None, None, page=page),
        follow_concepts([concepts, lens.concepts(images, rank=2, start="random")]),
        tree,
        hierarchy_report(tree, signals, [FactorLens(net).signals(images)["conv"] for net in untrained],
                         permutations=20, resamples=4),
        LayerHierarchies((), 2, tree),
        exemplary_images(signals),
        lens.panels(images, "conv", 0),
        lens.projections(images, "conv", [0], [0]),
        lens.overlay(images, "conv", 0, [1]),
        pictures,
        results.UnitPicturesRecord(("conv",), (0.5,), (0.5,), pictures),
        lens.deconvnet(images, "conv", [0]),
        lens.feature_maps(images, "conv", [0], [0]),
        weight_pictures(make_net(), "conv"),
    ]  # fmt: skip


def test_every_type_gives_a_figure_that_pyplot_shows_and_its_axes(found):
    kinds = set()
    for result in found:
        figure, axes = result.plot(**OPTIONS.get(type(result), {}))
        kind = next(base for base in type(result).__mro__ if base in FIGURES)
        kinds.add(kind)
        assert isinstance(axes, Axes if FIGURES[kind].is_single else np.ndarray), kind
        assert list(np.ravel(axes)) == figure.axes
        assert figure.number in pyplot.get_fignums()
        pyplot.close(figure)
    assert kinds == set(FIGURES)


def test_a_users_axes_are_drawn_into_and_the_others_stay_as_they_are(found):
    for result in found:
        kind = next(base for base in type(result).__mro__ if base in FIGURES)
        drawing = FIGURES[kind]
        figure = Figure()
        count = drawing.count_axes(result)
        axes = figure.subplots(1, count + 1)
        axes[-1].plot([1, 2], gid="mine")
        given = axes[0] if drawing.is_single else axes[:count]
        if drawing.draw_into is None:
            with pytest.raises(ValueError, match="leave ax out"):
                result.plot(ax=given)
            continue
        before = [ax.get_position().bounds for ax in axes]
        returned = result.plot(ax=given)
        assert returned[0] is figure
        assert list(np.ravel(returned[1])) == list(np.ravel(given))
        assert figure.axes == list(axes)
        assert [ax.get_position().bounds for ax in axes] == before
        assert all(ax.has_data() or ax.texts for ax in axes[:count]), kind
        assert by_id(axes[-1].lines).keys() == {"mine"}
        assert not axes[-1].get_title(loc="left") + axes[-1].get_xlabel()
        assert not pyplot.get_fignums()


def test_concepts_are_drawn_as_their_page():
    concepts = FactorLens(make_net(), ranks=(1, 2)).concepts(make_probe(), rank=2)
    figure, axes = concepts.plot(count=3, title="Two concepts")
    page, _ = concept_page(concepts, count=3).plot(title="Two concepts")
    assert isinstance(axes, np.ndarray)
    assert by_id(figure.axes[0].images).keys() == by_id(page.axes[0].images).keys()
    with pytest.raises(ValueError, match="ax: the panels of ConceptPage are laid out together"):
        concepts.plot(ax=Figure().subplots())
    with pytest.raises(ValueError, match="count: must be a whole number"):
        concepts.plot(count=0)


def test_wrong_axes_and_empty_results_are_named(observe):
    with pytest.raises(TypeError, match=r"inputs: Exemplars .* plot\(inputs=images\)"):
        exemplary_images(FactorLens(make_net()).signals(make_probe())["conv"]).plot()
    with pytest.raises(ValueError, match="LayerHierarchies: there is nothing to draw; it needs the hierarchy"):
        LayerHierarchies((), 2).plot()
    observation = observe()
    with pytest.raises(ValueError, match="needs 2 axes"):
        observation.plot(ax=Figure().subplots())
    with pytest.raises(TypeError, match="must be matplotlib axes"):
        observation.plot(ax=["left", "right"])
    with pytest.raises(ValueError, match="RankCurves: there is nothing to draw; it needs curves"):
        results.RankCurves({}).plot()
    with pytest.raises(ValueError, match="it needs spectra"):
        results.LayerSpectra((), None).plot(ax=[])
    with pytest.raises(TypeError, match="colour"):
        observation["reconstruction_error"].plot(colour="red")
    assert not pyplot.get_fignums()


def test_the_curves_of_one_record_can_be_read(observe):
    figure, ax = observe()["reconstruction_error"].plot()
    curve = observe()["reconstruction_error"]["total"]
    assert list(by_id(ax.lines)["curve/total"].get_ydata()) == list(curve.rel_error)
    assert not defects(figure)


def test_a_metric_is_drawn_into_new_axes_or_a_users():
    metric = Confidence()
    metric.update(torch.rand(4, 3))
    figure, ax = metric.plot()
    assert ax.lines[0].get_ydata()[0] == float(metric.compute())
    mine = Figure().subplots()
    assert metric.plot([metric.compute(), metric.compute()], ax=mine) == (mine.figure, mine)
    assert figure is not mine.figure
