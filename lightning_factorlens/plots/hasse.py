"""The semantic hierarchy of a layer: its Hasse diagram, general classes of vectors above."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._hasse_layout import BOX_HEIGHT, BOX_WIDTH, hasse_layout
from lightning_factorlens.plots.style import (
    BLUE,
    GREY,
    INK,
    LINE_COLORS,
    SIDE_MARGIN,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    new_figure,
)
from lightning_factorlens.plots.type_width import layer_label, text_width, wrap_text
from lightning_factorlens.results import HierarchyRecord, HierarchyReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Size of the type in boxes in points.
BOX_TYPE = 9.0
#: Largest number of lines of names in a box, and of names that are tried in a box.
MAX_ROWS = 3
MAX_NAMED = 12
#: Inches: the space above the lines below the title, such a line, below the diagram, inside of a box.
TOP = 0.43
LINE = 0.19
BOTTOM = 0.12
PADDING = 0.05
ROW = 0.165


def hasse_figure(hierarchy: HierarchyRecord | HierarchyReport) -> Figure | None:
    """The Hasse diagram of a layer's hierarchy (Praggastis et al., 2022, figures 6 and 7), of at most 20 classes.

    Args:
        hierarchy: From `hierarchy`, or from `hierarchy_report`: then the figure says what the hierarchy cannot be told
            from.

    Returns:
        The figure, or None without classes of vectors. Boxes have the ids ``class/<position>``, lines
        ``edge/<general>/<special>``, the frame of the warning ``warning``.

    Raises:
        ValueError: ``hierarchy`` is something else.
    """
    record = hierarchy.hierarchy if isinstance(hierarchy, HierarchyReport) else hierarchy
    check_type("hierarchy", record, HierarchyRecord, "pass what hierarchy() or hierarchy_report() returns")
    if not record.equivalence:
        return None
    layout = hasse_layout(record)
    warning = _warning(hierarchy)
    lines = _explanation(record, len(layout.boxes))
    above = TOP + LINE * (len(warning) + len(lines)) + 0.05
    height = above + layout.height + BOTTOM
    figure = new_figure(height)
    add_title(figure, f"Semantic hierarchy of {layer_label(record.layer, 2.5)}", [*warning, *lines])
    if warning:
        _frame_warning(figure, len(warning))
    ax = figure.add_axes((0, BOTTOM / height, 1, layout.height / height))
    ax.set(xlim=(0, WIDTH), ylim=(layout.height, 0))
    ax.axis("off")
    for (general, special), corners in layout.lines.items():
        x, y = zip(*corners)
        ax.plot(
            x, y, color=LINE_COLORS[general % len(LINE_COLORS)], lw=1.0, gid=f"edge/{general}/{special}", clip_on=False
        )
    for position, center in layout.boxes.items():
        _draw_box(ax, record, position, center)
    return figure


def _warning(hierarchy: HierarchyRecord | HierarchyReport) -> list[str]:
    """The banner, in lines of bold type."""
    if not isinstance(hierarchy, HierarchyReport) or not hierarchy.warning:
        return []
    return wrap_text(f"This hierarchy {hierarchy.warning}.", 0.88 * (WIDTH - 2 * SIDE_MARGIN))


def _frame_warning(figure: Figure, n_lines: int) -> None:
    """Makes the first lines below the title bold, with a frame around them."""
    from matplotlib.patches import Rectangle

    for text in figure.texts[1 : 1 + n_lines]:
        text.set_fontweight("bold")
    width, height = figure.get_size_inches()
    corner = (0.05 / width, (height - TOP + 0.06 - LINE * n_lines) / height)
    frame = Rectangle(corner, 1 - 0.1 / width, LINE * n_lines / height, fc="none", ec=VERMILION, lw=1.6, gid="warning")
    frame.set(transform=figure.transFigure, figure=figure)
    figure.patches.append(frame)


def _explanation(record: HierarchyRecord, n_drawn: int) -> list[str]:
    sizes = record.sizes
    text = f"{sizes.nodes} nodes in {sizes.vector_classes} classes of vectors, depth {sizes.depth}"
    if n_drawn < len(record.equivalence):
        text += f"; the {n_drawn} of the most nodes are drawn, {len(record.equivalence) - n_drawn} are not"
    text += f"; box: a node, the number of nodes, and the {record.hyperedges} for which they are significant"
    if not all(found.is_decided for found in record.equivalence):
        text += f"; dashed: undecided at {100 * record.confidence:g} %"
    return wrap_text(text, WIDTH - 2 * SIDE_MARGIN)


def _draw_box(ax: Axes, record: HierarchyRecord, position: int, center: tuple[float, float]) -> None:
    """A box with a node, the number of nodes, and the names of the classes, as far as they fit."""
    from matplotlib.patches import Rectangle

    found = record.equivalence[position]
    left = center[0] - BOX_WIDTH / 2
    top = center[1] - BOX_HEIGHT / 2
    style = "-" if found.is_decided else (0, (4, 2))
    color = BLUE if found.is_decided else GREY
    box = Rectangle((left, top), BOX_WIDTH, BOX_HEIGHT, fc="none", ec=color, lw=1.4, ls=style, clip_on=False)
    box.set_gid(f"class/{position}")
    ax.add_patch(box)
    head = f"{record.node_name(found.nodes[0])} ({len(found.nodes)})"
    names = [record.class_names[index] for index in found.classes]
    rows = [head, *_names(names, BOX_WIDTH - 2 * PADDING)]
    for number, row in enumerate(rows):
        y = center[1] + ROW * (number - (len(rows) - 1) / 2)
        size = SMALL - 0.5 if number == 0 else BOX_TYPE
        ax.text(center[0], y, row, fontsize=size, color=INK, ha="center", va="center", parse_math=False)


def _names(names: list[str], width: float) -> list[str]:
    """The names in at most three lines; those that do not fit are counted."""
    labels = [layer_label(name, width - 0.1, BOX_TYPE) for name in names[:MAX_NAMED]]
    for shown in range(len(labels), 0, -1):
        text = ", ".join(labels[:shown])
        if shown < len(names):
            text += f" +{len(names) - shown}"
        rows = wrap_text(text, width, BOX_TYPE)
        if len(rows) <= MAX_ROWS and all(text_width(row, BOX_TYPE) <= width for row in rows):
            return rows
    return [f"{len(names)} classes"]
