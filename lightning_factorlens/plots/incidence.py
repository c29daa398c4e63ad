"""Which nodes of a layer are significant for which classes: the incidence matrix of the hypergraph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._layer_axis import MAX_NAMES, NAME_WIDTH, name_layers
from lightning_factorlens.plots._legends import scale_bar
from lightning_factorlens.plots.style import (
    INK,
    SIDE_MARGIN,
    SMALL,
    WIDTH,
    add_title,
    new_figure,
    style_axes,
)
from lightning_factorlens.plots.tiles import color_map
from lightning_factorlens.plots.type_width import layer_label, wrap_text
from lightning_factorlens.results import HierarchyRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of nodes that are drawn.
MAX_NODES = 80
#: Inches: the space above the lines of the title, such a line, a row, below the matrix.
TOP = 0.43
LINE = 0.19
ROW = 0.22
BELOW = 0.95


def incidence_figure(record: HierarchyRecord) -> Figure | None:
    """The share of each class for which each node is significant, with nodes of the same classes side by side.

    Args:
        record: From `hierarchy`.

    Returns:
        The figure, or None without nodes. The image has the id ``shares``, the frames of the members ``members``, the
        marks of undecided pairs ``undecided``.

    Raises:
        ValueError: ``record`` is something else.
    """
    check_type("record", record, HierarchyRecord, "pass what hierarchy() returns")
    if not record.nodes:
        return None
    order = _by_class(record)
    nodes = order[:MAX_NODES]
    lines = wrap_text(_explanation(record, len(order) - len(nodes)), WIDTH - 2 * SIDE_MARGIN)
    n_classes = len(record.class_names)
    rows_height = ROW * min(max(n_classes, 4), 2 * MAX_NAMES)
    above = TOP + LINE * len(lines)
    height = above + rows_height + BELOW
    figure = new_figure(height)
    add_title(figure, f"Nodes and {record.hyperedges} of {layer_label(record.layer, 3.0)}", lines)
    left = NAME_WIDTH + 0.1
    ax = figure.add_axes((left / WIDTH, BELOW / height, 1 - (left + 0.15) / WIDTH, rows_height / height))
    style_axes(ax, "", "nodes, those of the same classes side by side", "", size=SMALL)
    ax.grid(False)
    name_layers(ax, record.class_names)
    if all(name.isdigit() for name in record.class_names):
        ax.set_ylabel("class" if record.hyperedges == "classes" else "image")
    shares = record.shares[:, nodes].numpy()
    ax.imshow(shares, cmap=color_map(False), vmin=0, vmax=1, aspect="auto", interpolation="nearest", gid="shares")
    ax.set_xticks([])
    verdict = record.verdict[:, nodes].numpy()
    size = min(72 * 0.6 * ax.bbox.width / figure.dpi / len(nodes), 72 * 0.6 * rows_height / n_classes, 7.0)
    _draw_marks(ax, verdict == 1, "o", size, "members")
    _draw_marks(ax, verdict == 0, "x", size, "undecided")
    scale_bar(figure, (0.25 / WIDTH, 0.3 / height, 1.6 / WIDTH, 0.12 / height), False, "share of the class")
    return figure


def _by_class(record: HierarchyRecord) -> list[int]:
    """The nodes by their equivalence class, and then those that belong to no class for certain."""
    order = [node for found in record.equivalence for node in found.nodes]
    return order + sorted(set(range(len(record.nodes))) - set(order))


def _explanation(record: HierarchyRecord, n_left_out: int) -> str:
    text = "share of the images of each class for which a node is significant; dot: "
    text += f"at least {record.p:g}, at {100 * record.confidence:g} %" if record.undecided else f"at least {record.p:g}"
    if record.undecided:
        text += "; cross: undecided"
    if n_left_out:
        text += f"; {n_left_out} nodes are not drawn"
    return text


def _draw_marks(ax: Axes, cells: np.ndarray, marker: str, size: float, gid: str) -> None:
    """Dark marks with a white edge, which can be seen on all colours of the scale."""
    rows, columns = np.nonzero(cells)
    if marker == "o":
        ax.plot(columns, rows, marker, color=INK, mec="white", mew=0.8, ms=size, ls="none", gid=gid)
        return
    ax.plot(columns, rows, marker, color="white", mew=2.8, ms=size, ls="none")
    ax.plot(columns, rows, marker, color=INK, mew=1.2, ms=size, ls="none", gid=gid)
