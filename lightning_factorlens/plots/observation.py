"""One observation as a figure: error against rank, and the distribution of α over the layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._legends import legend_below
from lightning_factorlens.plots._records import layer_spectra, total_curve
from lightning_factorlens.plots.rank_curve import legend_handles, rank_curve_figure
from lightning_factorlens.plots.style import BLUE, INK, LABEL, VERMILION, WIDTH, integer_locator, new_figure, style_axes
from lightning_factorlens.results import Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Width of a bar of the histogram, in α.
BIN = 0.5
#: Values of α beyond this one are counted in the last bar: those of small layers can be arbitrarily large.
MAX_ALPHA = 10.0


def observation_figure(observation: Observation) -> Figure:
    """Left: relative error against rank, with that of the truncated SVD. Right: the distribution of α over layers.

    Example:
        >>> from lightning_factorlens.results import Observation, Scalars
        >>> observation = Observation(epoch=1, step=100, records={"consistency": Scalars({"consistency": 0.5})})
        >>> figure = observation_figure(observation)  # figure.savefig("observation.png")
        >>> [text.get_text() for ax in figure.axes for text in ax.texts]
        ['no reconstruction error', 'no layer has an α']

    Args:
        observation: With or without its tensors.

    Returns:
        The figure; a notebook shows it. A text replaces a part that the observation does not have. The bars have the id
        ``alpha``, the line at the mean of α ``mean``; for the lines on the left, see `rank_curve_figure`.
    """
    n_required = len(required_ranks.ranks) if (required_ranks := observation.get("required_rank")) else 0
    height = 4.5 + 0.22 * n_required
    figure = new_figure(height, 2 * WIDTH, layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_observation(observation, left, right)
    if total_curve(observation, "reconstruction_error") is not None:
        legend_below(left, 0.7, handles=legend_handles([observation]))
    return figure


def draw_observation(observation: Observation, left: Axes, right: Axes) -> None:
    """The two panels of `observation_figure`, with the legend inside of the left one.

    Args:
        observation: With or without its tensors.
        left: Axes for the error against rank.
        right: Axes for the distribution of α.
    """
    if rank_curve_figure([observation], ax=left) is None:
        _show_text(left, "no reconstruction error")
    spectra = layer_spectra(observation)
    alphas = [spectrum.fit.alpha for spectrum in spectra if math.isfinite(spectrum.fit.alpha)]
    if alphas:
        _histogram(right, alphas, len(spectra) - len(alphas))
    else:
        _show_text(right, "no layer has an α")


def _show_text(ax: Axes, text: str) -> None:
    ax.axis("off")
    ax.text(0.5, 0.5, text, ha="center", va="center", color=INK, fontsize=LABEL)


def _histogram(ax: Axes, alphas: list[float], n_without: int) -> None:
    mean = float(np.mean(alphas))
    title = f"α of {len(alphas)} layers, mean {mean:.2f} (dashed)"
    if n_without:
        title += f"; {n_without} without"
    label = "α"
    if max(alphas) > MAX_ALPHA:
        label = f"α (the last bar: {MAX_ALPHA - BIN:g} and above)"
    style_axes(ax, title, label, "layers (number)")
    edges = np.arange(1.0, MAX_ALPHA + BIN, BIN)
    ax.hist(np.clip(alphas, edges[0], edges[-1]), bins=edges.tolist(), color=BLUE, edgecolor="white", gid="alpha")
    ax.axvline(min(mean, MAX_ALPHA), color=VERMILION, lw=2.2, ls="--", gid="mean")
    ax.yaxis.set_major_locator(integer_locator())
