"""The figures of units: what they draw, and that they can be read whatever the layers, channels and counts are."""

import warnings

import pytest
import torch
from figure_layout import defects
from matplotlib.text import Text

from lightning_factorlens import plots
from lightning_factorlens.results import (
    FeatureMaps,
    LayerHealth,
    LayerImportance,
    LayerSpread,
    NodeHealthResult,
    NodeImportance,
    UnitProjections,
    UnitSpread,
    WeightPictures,
)
from lightning_factorlens.results.node_health import VERDICTS

LONG = "backbone.stages.{}.blocks.17.attention.output.projection.with_a_name_of_its_own"
KINDS = {
    "many units": {"layers": [f"layer{k}" for k in range(14)], "units": 10, "images": 9, "shape": (3, 8, 8)},
    "one unit of one image": {"layers": [""], "units": 1, "images": 1, "shape": (1, 5, 9)},
    "long names and wide images": {
        "layers": [LONG.format(k) for k in range(4)],
        "units": 3,
        "images": 2,
        "shape": (5, 4, 90),
    },
}


def figures_of(layers, units, images, shape):
    """Every figure of made records."""
    torch.manual_seed(0)
    counts = torch.randint(0, 9, (units,))
    p = torch.rand(units).double()
    health, importance, spread = {}, {}, {}
    for k, layer in enumerate(layers):
        verdicts = tuple(VERDICTS[(k + unit) % len(VERDICTS)] for unit in range(units))
        health[layer] = LayerHealth(layer, 10_000, 0.01, 0.05, counts, counts, p, p, verdicts)
        activation = torch.rand(images, units) * (torch.arange(units) % 5 != 1)
        importance[layer] = LayerImportance(layer, torch.rand(images, units), activation, layer)
        spread[layer] = LayerSpread(torch.rand(3, units).double(), torch.rand(3, units).double())
    inputs = torch.rand(units, images, *shape)
    maps = torch.randn(units, images, 6, 6)
    index = torch.arange(images).expand(units, -1)
    numbers = tuple(range(units))
    projections = UnitProjections(layers[0], numbers, index, inputs, maps, inputs - 0.5, "switches", "map")
    dense = UnitProjections(layers[0], numbers, index, inputs, maps[..., 0, 0], inputs - 0.5, "regions", "strongest")
    groups = [LONG.format(image) for image in range(images)]
    result = NodeHealthResult(health)
    return {
        "deconvnet": plots.deconvnet_figure(projections),
        "deconvnet of a dense layer": plots.deconvnet_figure(dense),
        "maps": plots.feature_maps_figure(FeatureMaps(layers[0], numbers, index[0], inputs[0], maps)),
        "weights": plots.weight_pictures_figure(WeightPictures(layers[0], numbers, torch.randn(units, *shape))),
        "dense weights": plots.weight_pictures_figure(WeightPictures("", numbers, torch.randn(units, 1, 3, 3))),
        "health": plots.node_health_figure(result, result),
        "importance": plots.node_importance_figure(NodeImportance(importance)),
        "norms": plots.layer_norms_figure(NodeImportance(importance), groups),
        "spread": plots.unit_spread_figure(UnitSpread("filters", spread)),
    }


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind != "many units" else kind for kind in KINDS]
)
def test_every_figure_of_units_can_be_read(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = figures_of(**KINDS[kind])
        found = [f"{name}: {defect}" for name, figure in figures.items() for defect in defects(figure)]
    assert not found, "\n".join(found)
    assert all(figure.bbox.height < 1400 for figure in figures.values())


def test_the_figures_show_the_records():
    figures = figures_of(["a", "b"], 10, 4, (3, 8, 8))
    (projection,) = figures["deconvnet"].findobj(lambda a: a.get_gid() == "projection/2/3")
    assert projection.get_array().shape == (8, 8, 3)
    (dead,) = figures["importance"].findobj(lambda a: a.get_gid() == "dead/b")
    assert len(dead.get_xdata()) == 2
    (bar,) = figures["health"].findobj(lambda a: a.get_gid() == "rare/b")
    assert bar.get_width() == pytest.approx(0.2) and bar.get_x() == pytest.approx(0.2)
    (untrained,) = figures["spread"].findobj(lambda a: a.get_gid() == "untrained")
    assert len(untrained.get_xdata()) == 6
    with pytest.raises(ValueError, match="groups: must have one entry for each of 4 images, found 1"):
        plots.layer_norms_figure(
            NodeImportance({"a": LayerImportance("a", torch.rand(4, 2), torch.rand(4, 2), "a")}), [1]
        )
    vectors = UnitProjections(
        "a", (0,), torch.zeros(1, 1), torch.rand(1, 1, 7), torch.rand(1, 1), torch.rand(1, 1, 7), "", ""
    )
    assert plots.deconvnet_figure(vectors) is None
    images = torch.rand(2, 1, 1, 4, 4)
    maps = torch.stack([-torch.ones(1, 3, 3), torch.ones(1, 3, 3)])
    inactive = UnitProjections("a", (4, 5), torch.zeros(2, 1), images, maps, images, "switches", "map")
    texts = [text.get_text() for text in plots.deconvnet_figure(inactive).findobj(Text)]
    assert "unit 4, active in none of its images" in texts and "unit 5" in texts
