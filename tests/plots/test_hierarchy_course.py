"""The figure of hierarchies over a run, checked as data and as a page."""

import math

import pytest
from figure_layout import defects
from observations import make_observation

from lightning_factorlens.plots import hierarchy_course_figure
from lightning_factorlens.results import LayerHierarchies, LayerHierarchy, Observation

LONG = "backbone.stages.{}.blocks.17.attention.output.projection.with_a_name_of_its_own"


def observation(epoch, names):
    layers = []
    for index, name in enumerate(names):
        share = math.nan if epoch == 0 else 0.1 * epoch + 0.01 * index
        layers.append(LayerHierarchy(name, 12 + epoch, 4 + index, 2, 30, share, 3, 2, 1, 0.02))
    return Observation(epoch, 10 * epoch, {"semantic_hierarchy": LayerHierarchies(tuple(layers), 10)})


def test_the_lines_are_the_numbers_of_the_observations_that_have_them():
    history = [observation(0, ["a", "b"]), make_observation(1), observation(2, ["a", "b"])]
    figure = hierarchy_course_figure(history)
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.get_lines()}
    assert lines["class_share/b"].get_xdata().tolist() == [0, 2]
    assert lines["class_share/b"].get_ydata()[1] == pytest.approx(0.21)
    assert lines["null_vector_classes/a"].get_ydata().tolist() == [2, 2]
    assert hierarchy_course_figure([make_observation(0)]) is None
    assert hierarchy_course_figure([observation(1, [])]) is None


@pytest.mark.parametrize(
    "names", [["net.0"], [LONG.format(k) for k in range(14)], ["слой.свёртка", "層.畳み込み", "θ_$1$"]]
)
def test_it_can_be_read(names):
    assert not defects(hierarchy_course_figure([observation(epoch, names) for epoch in range(4)]))
