"""The sizes of a hierarchy beside those of its resamples, of permuted labels and of untrained networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    INK,
    SIDE_MARGIN,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    integer_locator,
    new_figure,
    style_axes,
)
from lightning_factorlens.plots.type_width import layer_label, wrap_text
from lightning_factorlens.results import HierarchyReport
from lightning_factorlens.results.hierarchy_evidence import SIZES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Share of the resamples and permutations that a bar covers.
COVERAGE = 0.95
#: Largest number of untrained networks that are drawn.
MAX_UNTRAINED = 6
#: Inches: the space above the lines of the title, such a line, the names, a row, around a chart.
TOP = 0.43
LINE = 0.19
NAMES = 1.45
ROW = 0.26
BELOW = 0.62


def hierarchy_nulls_figure(report: HierarchyReport) -> Figure:
    """Number of nodes and of classes of vectors, and depth, beside their nulls.

    Args:
        report: From `hierarchy_report`.

    Returns:
        The figure. For each of ``nodes``, ``vector_classes`` and ``depth`` it has a line ``observed/<size>``, and bars
        and marks ``resamples/<size>``, ``permuted/<size>`` and ``untrained<k>/<size>``.

    Raises:
        ValueError: ``report`` is something else.
    """
    check_type("report", report, HierarchyReport, "pass what hierarchy_report() returns")
    rows = _rows(report)
    text = f"line: this hierarchy; bars: {100 * COVERAGE:g} % of the resamples or permutations, mark: their mean"
    if report.warning:
        text += f"; the hierarchy {report.warning}"
    lines = wrap_text(text, WIDTH - 2 * SIDE_MARGIN)
    chart = ROW * len(rows)
    above = TOP + LINE * len(lines)
    height = above + len(SIZES) * (chart + BELOW)
    figure = new_figure(height)
    add_title(figure, f"Sizes of the hierarchy of {layer_label(report.hierarchy.layer, 2.0)}", lines)
    for index, (size, name) in enumerate(SIZES.items()):
        bottom = height - above - (index + 1) * (chart + BELOW) + BELOW
        box = (NAMES / WIDTH, bottom / height, 1 - (NAMES + 0.2) / WIDTH, chart / height)
        ax = figure.add_axes(box)
        style_axes(ax, "", name, "", size=SMALL)
        _draw_size(ax, report, rows, index, size)
    return figure


def _rows(report: HierarchyReport) -> dict[str, tuple[str, np.ndarray, str]]:
    """For each row its id: its name, the sizes of the resamples or permutations, shape (n, 3), and its colour."""
    rows = {
        "resamples": ("resamples", report.stability.sizes.numpy(), BLUE),
        "permuted": ("permuted labels", report.permuted.permuted.numpy(), GREEN),
    }
    for index, resamples in enumerate(report.untrained_resamples[:MAX_UNTRAINED].numpy()):
        rows[f"untrained{index}"] = (f"untrained {index + 1}", resamples, VERMILION)
    return rows


def _draw_size(
    ax: Axes, report: HierarchyReport, rows: dict[str, tuple[str, np.ndarray, str]], index: int, size: str
) -> None:
    """One size: a row for each null, and a line for the hierarchy itself."""
    for row, (gid, (_, sizes, color)) in enumerate(rows.items()):
        values = sizes[:, index]
        low, high = np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        ax.plot([low, high], [row, row], color=color, lw=5, solid_capstyle="butt", gid=f"{gid}/{size}/range")
        ax.plot(values.mean(), row, "o", color=color, ms=8, gid=f"{gid}/{size}")
    observed = getattr(report.hierarchy.sizes, size)
    ax.axvline(observed, color=INK, lw=1.6, gid=f"observed/{size}")
    ax.set_yticks(range(len(rows)))
    ax.set_yticklabels([name for name, _, _ in rows.values()], fontsize=SMALL - 1)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    largest = max(observed, *(float(sizes[:, index].max()) for _, sizes, _ in rows.values()))
    ax.set_xlim(-0.03 * max(largest, 1), 1.06 * max(largest, 1))
    ax.xaxis.set_major_locator(integer_locator(6))
