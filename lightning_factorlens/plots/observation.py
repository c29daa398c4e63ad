"""One look as a figure: error against rank beside the SVD's floor, and how α spreads over the layers."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_factorlens.plots.rank_curve import draw_rank_curve
from lightning_factorlens.plots.style import BLUE, DPI, VERMILION, WIDTH, legend, style_axes
from lightning_factorlens.results import Observation

#: Width of a bar of the histogram, in α.
BIN = 0.5
#: Beyond this α stands in the last bar: small layers can have any.
HIGHEST = 10.0


class NotebookFigure(Figure):
    """A figure that a notebook shows by itself, once, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        FigureCanvasAgg(self).print_png(file)
        return file.getvalue()


def observation_figure(observation: Observation) -> NotebookFigure:
    """Left: relative error against rank, with the floor. Right: the layers' α, where there are any.

    Args:
        observation: Whole, or without its tensors.

    Returns:
        The figure. The bars carry the id ``alpha``, the line at their mean ``mean``; of the left, see
        `rank_curve_figure`.
    """
    figure = NotebookFigure(figsize=(2 * WIDTH, 4.3), dpi=DPI, facecolor="white", layout="constrained")
    alphas = [s.fit.alpha for s in observation.spectra if math.isfinite(s.fit.alpha)]
    left, right = figure.subplots(1, 2)
    draw_rank_curve(left, [observation])
    if alphas:
        _histogram(right, alphas, len(observation.spectra) - len(alphas))
    else:
        right.axis("off")
        right.text(0.5, 0.5, "no layer has an α", ha="center", va="center")
    return figure


def _histogram(ax: Axes, alphas: list[float], without: int) -> None:
    style_axes(ax, f"α of {len(alphas)} layers" + (f", {without} without" if without else ""), "α", "layers")
    edges = np.arange(1.0, HIGHEST + BIN, BIN)
    ax.hist(np.clip(alphas, edges[0], edges[-1]), bins=edges.tolist(), color=BLUE, edgecolor="white", gid="alpha")
    mean = float(np.mean(alphas))
    ax.axvline(min(mean, HIGHEST), color=VERMILION, lw=2.2, ls="--", label=f"mean {mean:.2f}", gid="mean")
    if max(alphas) > HIGHEST:
        ax.set_xlabel(f"α (the last bar: {HIGHEST - BIN:g} and above)")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(ax)
