"""Every figure of every kind of run can be read: see `figure_layout.defects` for what is measured."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from figure_layout import defects
from history_figures import HISTORY_FIGURES
from made_concepts import make_concepts
from matplotlib.figure import Figure
from observations import make_observation, power_law, rank_curve, similarity, spectrum_without_fit
from torch import nn

from lightning_factorlens import plots
from lightning_factorlens.concepts import concept_page, name_concepts
from lightning_factorlens.hierarchy import (
    decomposition_panels,
    exemplary_images,
    layer_signals,
    projection_maps,
    similarity_overlay,
)
from lightning_factorlens.results import Factorization, FeatureVisualization, RequiredRank

LONG = "backbone.stages.{}.blocks.17.attention.output.projection.with_a_name_of_its_own"


def renamed(names, epoch=3, rank=8):
    """An observation of layers with these names; every third has an α of noise, every seventh none."""
    spectra = []
    for index, name in enumerate(names):
        spectrum = power_law(name, 2 + 0.1 * index + 0.05 * epoch, n=12 if index % 3 == 2 else 64, n_tail=8)
        spectra.append(spectrum_without_fit(name) if index % 7 == 6 else spectrum)
    similarities = tuple(similarity(name, 0.9 - 0.8 * k / len(names), rank) for k, name in enumerate(names))
    shapes, kept = [], []
    for index in range(len(names)):
        shapes.append(((2048, 7, 7), (40, 8, 8), (384,), (7,))[index % 4])
        kept.append(torch.arange(0, math.prod(shapes[-1]), 97) if index % 4 == 0 else None)
    n_rows = [math.prod(s) if k is None else len(k) for s, k in zip(shapes, kept)]
    o = make_observation(epoch, spectra=tuple(spectra), similarities=similarities, consistency=1 / (epoch + 1))
    f = o.factorization
    index = f.ranks.index(rank)
    W = tuple(torch.rand(n, rank) for n in n_rows)
    factorization = Factorization(
        (rank,), (f.F[index],), ((f.W[index][0], *W),), torch.ones(1, 1 + len(names)), ("input/0", *names),
        (1.0,) * (1 + len(names)), (0.5,), ((0.5,),), 7, "converged", (f.shapes[0], *shapes), (None, *kept),
    )  # fmt: skip
    return replace(o, factorization=factorization)


def run_of(values, **changes):
    return [make_observation(epoch, consistency=value, **changes) for epoch, value in enumerate(values)]


RISING = [2.3, 1.9, 1.6, 1.3, 1.2, 1.1, 1.0, 0.9, 0.95] + [1.0 + 0.05 * k for k in range(16)]


def sparse(history):
    """Every second observation has only what a signal-only observation has."""
    signal_only = [
        replace(o, records={"consistency": o["consistency"]}, inputs=None, factorization=None) for o in history
    ]
    return [full if index % 2 == 0 else signal_only[index] for index, full in enumerate(history)]


def one_rank(rank):
    curve = rank_curve(0.9, 0.7, ranks=(rank,))
    required = (RequiredRank(0.5, float(rank), True), RequiredRank(0.95, float(rank), False))
    return make_observation(curves={"total": curve}, svd_curves={"total": curve}, required_ranks=required)


def many_ranks():
    ranks = (*range(1, 33), 48, 64, 96, 128, 192, 256)
    curve = rank_curve(0.999, 0.93, ranks=ranks)
    taus = (0.9, 0.7, 0.5, 0.3, 0.1, 0.01)
    required = tuple(RequiredRank(tau, 256.0 if tau < 0.2 else 12.3, tau < 0.2) for tau in taus)
    return make_observation(curves={"total": curve}, svd_curves={"total": curve}, required_ranks=required)


def easy():
    """A curve that lies below the threshold at the smallest rank."""
    curve = rank_curve(0.3, 0.9)
    required = (RequiredRank(0.5, 1.0, False), RequiredRank(0.3, 1.0, False))
    return make_observation(curves={"total": curve}, required_ranks=required)


def signed():
    o = make_observation(channels=3)
    f = o.factorization
    W = tuple(tuple(w - 0.4 for w in blocks) for blocks in f.W)
    negative = replace(similarity("layer1", 0.5), cosine=torch.eye(8, dtype=torch.float64) * 2 - 1)
    return replace(
        make_observation(channels=3, similarities=(negative,)), factorization=replace(f, W=W), inputs=o.inputs
    )


def large_numbers():
    spectra = (power_law("a", 1.3), power_law("b", 123.456, n=100_000, n_tail=99_000))
    history = run_of([123456.789, 1e-9, 12.5], spectra=spectra, effective_rank={"total": 1234.5})
    return [replace(o, epoch=10**6 + o.epoch, step=10**9 + o.step) for o in history]


ZOO = {
    "two observations": lambda: [make_observation(0), make_observation(1)],
    "one observation": lambda: [make_observation(0)],
    "a run that memorises": lambda: run_of(RISING),
    "a run that learns": lambda: run_of([2.3 * 0.9**k for k in range(30)]),
    "300 observations": lambda: run_of([2.3 * 0.99**k + 0.1 for k in range(300)]),
    "without consistency": lambda: run_of([None] * 4),
    "consistency of NaN": lambda: run_of([math.nan, math.nan, 1.0, math.nan]),
    "negative consistency": lambda: run_of([-0.1 * k for k in range(12)]),
    "signal-only observations between": lambda: sparse(run_of(RISING)),
    "a signal-only observation last": lambda: sparse(run_of(RISING[:10])),
    "signal-only observations alone": lambda: sparse(run_of(RISING))[1::2],
    "50 layers": lambda: [renamed([f"features.{k}.conv" for k in range(50)], epoch) for epoch in range(4)],
    "one layer": lambda: [renamed(["net.0"], epoch) for epoch in range(2)],
    "a model that is a layer": lambda: [renamed([""])],
    "long names": lambda: [renamed([LONG.format(k) for k in range(9)])],
    "wide names": lambda: [renamed([f"{'W' * 60}.{k}" for k in range(3)])],
    "names in other scripts": lambda: [renamed(["слой.свёртка_длинное_имя", "層.畳み込み", "θ_$1$", "сл"])],
    "2 components": lambda: [renamed(["a", "b"], rank=2)],
    "32 components": lambda: [renamed(["a", "b"], rank=32)],
    "one rank": lambda: [one_rank(1)],
    "one large rank": lambda: [one_rank(512)],
    "many ranks and thresholds": lambda: [many_ranks(), many_ranks()],
    "an easy network": lambda: [easy()],
    "colour images": lambda: [make_observation(channels=3)],
    "12 channels": lambda: [make_observation(channels=12)],
    "signed factors": lambda: [signed()],
    "not images": lambda: [replace(make_observation(), inputs=None)],
    "images of 1 x 1": lambda: [make_observation(size=1)],
    "large numbers": large_numbers,
}


#: Kinds of runs in which most has gone wrong; drawing all figures of all kinds takes a minute or two.
CORE = (
    "a run that memorises",
    "signal-only observations alone",
    "50 layers",
    "names in other scripts",
    "many ranks and thresholds",
    "12 channels",
)


@pytest.mark.parametrize("kind", [kind if kind in CORE else pytest.param(kind, marks=pytest.mark.slow) for kind in ZOO])
def test_every_figure_can_be_read(kind):
    history = ZOO[kind]()
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of glyphs that the font lacks, and of limits that are equal
        for name, draw in HISTORY_FIGURES.items():
            figure = draw(history)
            if figure is not None:
                found += [f"{name}: {defect}" for defect in defects(figure)]
        found += [f"observation_figure: {defect}" for defect in defects(plots.observation_figure(history[-1]))]
        spectra = history[-1].get("weight_spectra")
        for spectrum in spectra.layers[:8] if spectra else ():
            found += [f"spectrum_figure: {defect}" for defect in defects(plots.spectrum_figure(spectrum))]
    assert not found, "\n".join(found)


LAYERS = [LONG.format(k) for k in range(14)] + ["слой.свёртка", "層.畳み込み", ""]
PAGES = {
    "colour images": {"shape": (3, 12, 12), "names": ["cat", "dog"] * 20, "stability": [0.9, 0.1]},
    "not images": {"shape": (6,), "names": [123456789] * 40, "stability": [0.2]},
    "one grey image": {"shape": (1, 12, 12), "n": 1, "rank": 1, "layers": ["a"], "size": 1},
    "signed pixels of many channels": {"shape": (9, 4, 60), "sign": -0.5, "names": [LONG] * 40, "stability": [0.0]},
    "nothing is left": {"shape": (1, 5, 5), "scale": 0.0, "stability": [0.0]},
    "tall images": {"shape": (1, 90, 3), "rank": 2},
}
SLOW_PAGES = list(PAGES)[3:]


def concept_page_of(shape, n=40, rank=12, layers=LAYERS, names=None, stability=(), size=300, scale=1.0, sign=0.0):
    """A page of random concepts."""
    torch.manual_seed(0)
    inputs = torch.rand(n, *shape)
    image_shape = shape[1:] if len(shape) == 3 else shape
    channels = shape[0] if len(shape) == 3 else 1
    blocks = [
        (f"input/{c}", "input", image_shape, scale * (torch.rand(math.prod(image_shape), rank) + sign))
        for c in range(channels)
    ]
    blocks += [(layer, "activation", (size,), scale * torch.rand(size, rank)) for layer in layers]
    concepts = make_concepts(scale * torch.rand(rank, n), blocks, inputs)
    cosine = torch.tensor([stability[k % len(stability)] for k in range(rank)]) if stability else None
    return concept_page(concepts, name_concepts(concepts, names), cosine)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW_PAGES else kind for kind in PAGES]
)
def test_every_figure_of_concepts_can_be_read(kind):
    page = concept_page_of(**PAGES[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = [
            plots.concept_sheet_figure(page, "Concepts, epoch 1000, step 1000000"),
            plots.concept_card_figure(page, page.cards[0].number, "epoch 1000, step 1000000"),
            plots.concept_similarity_figure(page),
        ]
        found = [defect for figure in figures if figure is not None for defect in defects(figure)]
    assert not found, "\n".join(found)


VISUALIZATIONS = {
    "colour pictures": ((3, 8, 8), 12, "layer1.0.conv1 vector {}"),
    "tall grey pictures": ((1, 60, 5), 3, LONG.replace("{}", "7") + " vector {}"),
    "flat pictures of many channels": ((6, 2, 40), 1, "слой 層 {}"),
}


@pytest.mark.parametrize("kind", VISUALIZATIONS)
def test_every_figure_of_pictures_can_be_read(kind):
    shape, n, name = VISUALIZATIONS[kind]
    found = FeatureVisualization(
        tuple(name.format(k) for k in range(n)), "faithful", torch.rand(n, *shape), torch.zeros(shape[0]),
        torch.ones(shape[0]), 1e5 * torch.randn(n), torch.rand(64, n), 1e-5 * torch.randn(n),
        torch.arange(9).expand(n, 9), torch.rand(9, *shape), torch.arange(9).expand(n, 9), torch.arange(n) != 0, torch.rand(n), -torch.rand(n),
        torch.rand(n), 64,
    )  # fmt: skip
    figure = plots.feature_visualization_figure(found, "Pictures, epoch 1000", untrained=found)
    assert not defects(figure)
    frames = figure.findobj(lambda artist: str(artist.get_gid()).startswith("frame/picture/"))
    assert len(frames) == min(n, 8)  # a white picture is seen on the white page


INPUTS = {
    "colour images": ((3, 12, 12), lambda: nn.Conv2d(3, 8, 3, padding=1)),
    "one small grey image": ((1, 4, 5), lambda: nn.Conv2d(1, 2, 1)),
    "tokens": ((9, 6), lambda: nn.Linear(6, 30)),
    "vectors": ((6,), lambda: nn.Linear(6, 3)),
    "volumes": ((2, 3, 4, 5), lambda: nn.Conv3d(2, 4, 2)),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in ("tokens", "volumes") else kind for kind in INPUTS]
)
def test_every_figure_of_singular_vectors_can_be_read(kind):
    shape, make = INPUTS[kind]
    torch.manual_seed(0)
    model = nn.ModuleDict({LONG.replace(".", "_"): nn.Sequential(make(), nn.GELU())})
    layer = next(iter(model)) + ".0"
    options = {"forward": next(iter(model.values()))}
    probe = torch.rand(1 if "one" in kind else 12, *shape)
    n_vectors = len(layer_signals(model, probe, layer, **options)[layer].s)
    images = list(range(len(probe)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = [
            plots.decomposition_figure(decomposition_panels(model, probe, layer, **options)),
            plots.exemplars_figure(exemplary_images(layer_signals(model, probe, layer, **options)[layer]), probe),
            plots.projection_figure(projection_maps(model, probe, layer, images, range(n_vectors), **options)),
            plots.overlay_figure(similarity_overlay(model, probe, layer, 0, images[1:], **options)),
        ]
        found = [defect for figure in figures if figure is not None for defect in defects(figure)]
    assert not found, "\n".join(found)
    assert all(figure is None or np.prod(figure.get_size_inches()) * figure.dpi**2 < 1e6 for figure in figures)


def test_the_checker_finds_what_it_is_for():
    figure = Figure(facecolor="white")
    first, second = figure.subplots(1, 2)
    first.imshow([[0, 1]])
    first.plot([0, 1], [0, 0.2], gid="line", color="#eeeeee")
    first.text(0.5, 0.1, "struck through")
    second.text(0.5, 0.5, "one")
    second.text(0.52, 0.5, "two")
    second.text(1.1, 0.9, "far outside of it", color="#dddddd", fontsize=6)
    found = "\n".join(defects(figure))
    for expected in (
        "outside of the figure",
        "'two' overlaps 'one'",
        "struck through by",
        "little contrast on a white page",
        "the line line has little contrast",
        "is small",
        "no colour bar",
        "an x axis has no label",
    ):
        assert expected in found
