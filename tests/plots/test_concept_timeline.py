"""The figure shows every line and event of a timeline, and can be read."""

import numpy as np
import pytest
import torch
from figure_layout import defects

from lightning_factorlens.concepts import concept_changes
from lightning_factorlens.plots import concept_timeline_figure
from lightning_factorlens.results import ConceptTimeline


def timeline_of(fits, labels=None):
    changes = tuple(concept_changes(a, b) for a, b in zip(fits, fits[1:]))
    alive = tuple(tuple(F.any(1).tolist()) for F in fits)
    return ConceptTimeline(tuple(labels or [f"epoch {k}" for k in range(len(fits))]), alive, changes)


def points(figure, gid):
    line = next(line for line in figure.axes[0].lines if line.get_gid() == gid)
    return [tuple(row) for row in np.array(line.get_xydata()).tolist() if row[0] == row[0]]


BLOCKS = torch.eye(6).repeat_interleave(4, 1)


def test_every_event_is_drawn():
    whole = torch.stack([BLOCKS[0] + BLOCKS[1], BLOCKS[2], BLOCKS[3]])
    parts = torch.stack([BLOCKS[0], BLOCKS[1], BLOCKS[3] + 0.2 * BLOCKS[5]])
    later = torch.stack([BLOCKS[0] + BLOCKS[1], BLOCKS[4], BLOCKS[3] + 0.2 * BLOCKS[5], BLOCKS[5]])
    timeline = timeline_of([whole, parts, later])
    kinds = [(event.label, event.kind) for event in timeline.events()]
    assert kinds == [
        ("epoch 1", "split"),
        ("epoch 1", "death"),
        ("epoch 2", "merge"),
        ("epoch 2", "birth"),
        ("epoch 2", "birth"),
    ]
    figure = concept_timeline_figure(timeline)
    assert points(figure, "splits") == [(0, 0), (1, 0), (0, 0), (1, 1)]
    assert points(figure, "deaths") == [(0, 1)]
    assert len(points(figure, "births")) == 2
    assert points(figure, "merges")[::2] == [(1, 0), (1, 1)]
    assert (1.0, 2.0) in points(figure, "steady")
    assert not defects(figure)


@pytest.mark.parametrize("n", [2, 40])
def test_long_timelines_of_many_concepts_can_be_read(n):
    g = torch.Generator().manual_seed(0)
    fits = [torch.rand(20, 60, generator=g) * (torch.rand(20, 60, generator=g) < 0.2) for _ in range(n)]
    fits[1][3] = 0
    labels = [f"checkpoint of a long name {k}" if n == 2 else f"{k} слой $x$ of the run" for k in range(n)]
    figure = concept_timeline_figure(timeline_of(fits, labels), "Concepts")
    assert not defects(figure)
    assert concept_timeline_figure(timeline_of(fits[:1])) is None


def test_concepts_keep_their_rows_and_new_ones_take_free_rows():
    timeline = timeline_of([BLOCKS[:3], BLOCKS[[2, 5, 0]], BLOCKS[[5, 0, 1, 3]]])
    assert timeline.rows() == [(0, 1, 2), (2, 1, 0), (1, 0, 2, 3)]
