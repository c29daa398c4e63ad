"""The figures of hierarchies: what they draw, and that they can be read."""

import warnings

import networkx
import pytest
import torch
from artists import by_id
from figure_layout import defects
from made_signals import class_signals, make_signals

from lightning_factorlens.hierarchy import hierarchy, hierarchy_report, significance
from lightning_factorlens.plots import hasse_figure, hierarchy_nulls_figure, incidence_figure

LONG = "backbone.stages.{}.attention.output.projection.with_a_name_of_its_own"


def made(n_classes=8, r=24, strength=2.0, q=0.85, p=0.6, n_per_class=40, names=None, layer="conv2"):
    signals, labels = class_signals(n_per_class, n_classes, r, strength, layer=layer)
    return hierarchy(significance(signals, q), labels, p, names=names), signals


def artists(figure):
    return by_id(figure.findobj(lambda artist: True))


def test_all_classes_of_vectors_and_the_edges_between_them_are_drawn():
    found, signals = made()
    assert len(found.equivalence) <= 20
    drawn = artists(hasse_figure(found))
    assert {name for name in drawn if name.startswith("edge/")} == {f"edge/{a}/{b}" for a, b in found.hasse}
    for position, each in enumerate(found.equivalence):
        assert (drawn[f"class/{position}"].get_linestyle() == "-") == each.is_decided
    tops = {position: drawn[f"class/{position}"].get_y() for position in range(len(found.equivalence))}
    for general, special in found.hasse:
        line = drawn[f"edge/{general}/{special}"]
        assert line.get_ydata()[0] > tops[general]
        assert line.get_ydata()[-1] == pytest.approx(tops[special])
        assert tops[general] < tops[special]
    assert "warning" not in drawn
    alike = hierarchy_report(found, signals, [signals], 60, 20)
    figure = hasse_figure(alike)
    assert "warning" in artists(figure)
    assert alike.warning in " ".join(text.get_text() for text in figure.texts)


def test_of_many_classes_of_vectors_twenty_are_drawn_with_their_own_diagram():
    found, _ = made(12, 60, q=0.8)
    assert len(found.equivalence) > 30
    figure = hasse_figure(found)
    drawn = artists(figure)
    positions = [int(name[6:]) for name in drawn if name.startswith("class/")]
    assert len(positions) == 20
    fewest = min(len(found.equivalence[position].nodes) for position in positions)
    assert all(len(each.nodes) <= fewest for k, each in enumerate(found.equivalence) if k not in positions)
    graph = networkx.DiGraph((a, b) for a, b in found.order if a in positions and b in positions)
    edges = {tuple(map(int, name[5:].split("/"))) for name in drawn if name.startswith("edge/")}
    assert edges == set(networkx.transitive_reduction(graph).edges)
    assert f"{len(found.equivalence) - 20} are not" in " ".join(text.get_text() for text in figure.texts)


def test_shares_and_verdicts_stand_in_the_incidence_matrix():
    found, _ = made()
    drawn = artists(incidence_figure(found))
    order = [node for each in found.equivalence for node in each.nodes]
    shares = torch.from_numpy(drawn["shares"].get_array().filled())
    assert torch.equal(shares[:, : len(order)], found.shares[:, order])
    assert len(drawn["members"].get_xdata()) == int((found.verdict == 1).sum())
    assert len(drawn["undecided"].get_xdata()) == found.undecided


def test_sizes_stand_beside_their_nulls():
    found, signals = made()
    report = hierarchy_report(found, signals, [signals, signals], 20, 20)
    drawn = artists(hierarchy_nulls_figure(report))
    for index, size in enumerate(("nodes", "vector_classes", "depth")):
        assert drawn[f"observed/{size}"].get_xdata()[0] == getattr(found.sizes, size)
        assert drawn[f"permuted/{size}"].get_xdata()[0] == pytest.approx(report.permuted.mean(size))
        assert drawn[f"resamples/{size}"].get_xdata()[0] == pytest.approx(
            float(report.stability.sizes[:, index].mean())
        )
        assert drawn[f"untrained1/{size}"].get_xdata()[0] == pytest.approx(
            float(report.untrained_resamples[1, :, index].mean())
        )


KINDS = {
    "many classes with long names": lambda: made(30, 90, q=0.8, names=[LONG.format(k) for k in range(30)]),
    "one class": lambda: made(1, p=0.2, layer="слой.свёртка_$1$"),
    "two classes": lambda: made(2, 3, layer=""),
    "undecided": lambda: made(4, 12, n_per_class=6, layer=LONG),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_figures_can_be_read(kind):
    found, signals = KINDS[kind]()
    report = hierarchy_report(found, signals, [signals], 5, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = [hasse_figure(report), incidence_figure(found), hierarchy_nulls_figure(report)]
        found_defects = [defect for figure in figures for defect in defects(figure)]
    assert not found_defects, "\n".join(found_defects)


def test_nothing_is_drawn_of_an_empty_hierarchy_but_its_sizes():
    signals = make_signals(torch.zeros(4, 2))
    found = hierarchy(significance(signals), [0, 0, 1, 1])
    assert hasse_figure(found) is None
    assert incidence_figure(found) is None
    assert not defects(hierarchy_nulls_figure(hierarchy_report(found, signals, [], 3, 3)))
    with pytest.raises(ValueError, match="hierarchy: must be of type HierarchyRecord, found Signals"):
        hasse_figure(signals)
