"""Small multiples of the layers' eigenvalues with the power law fitted to their tail."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from lightning_factorlens.sinks.figures import BLUE, GREY, INK, PALE, VERMILION, blank, dress, evenly
from lightning_factorlens.sinks.tables import shorten
from lightning_factorlens.types import LayerSpectrum, Observation, PowerLawFit

#: Layers shown; of more, so many evenly spaced from the first to the last.
MOST = 12
COLUMNS = 4
#: Inches.
PANEL = (3.0, 2.6)


def spectra_figure(observation: Observation) -> Figure | None:
    """Share of eigenvalues at or above each eigenvalue, a panel a layer, both axes logarithmic.

    Args:
        observation: Of which the spectra are drawn.

    Returns:
        The figure, or None without spectra. Lines carry the ids ``bulk``, ``tail``, ``fit`` and ``x_min``.
    """
    shown = evenly(observation.spectra, MOST)
    if not shown:
        return None
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    width, height = PANEL[0] * columns + 0.4, PANEL[1] * rows + 0.85
    figure = blank(width, height)
    grid = figure.add_gridspec(
        rows, columns, left=0.75 / width, right=1 - 0.15 / width, bottom=0.6 / height, top=1 - 1.05 / height,
        wspace=0.28, hspace=0.55,
    )  # fmt: skip
    for k, spectrum in enumerate(shown):
        _panel(figure.add_subplot(grid[k // columns, k % columns]), spectrum)
    total = len(observation.spectra)
    count = f", {len(shown)} of {total} layers" if len(shown) < total else ""
    words = f"Spectra, epoch {observation.epoch}{count}"
    figure.text(0.15 / width, 1 - 0.3 / height, words, fontsize=12, color=INK)
    key = "blue: tail above x_min (dotted); line: power law"
    figure.text(0.15 / width, 1 - 0.52 / height, key, fontsize=9, color=INK)
    figure.supxlabel("eigenvalue σ² of the weight", fontsize=10, color=INK, y=0.12 / height)
    figure.supylabel("share of eigenvalues ≥ x", fontsize=10, color=INK, x=0.1 / width)
    return figure


def _panel(ax: Axes, spectrum: LayerSpectrum) -> None:
    fit = spectrum.fit
    values = np.sort(spectrum.eigenvalues.detach().double().cpu().numpy())
    values = values[np.isfinite(values) & (values > 0)]
    share = np.arange(len(values), 0, -1) / max(len(values), 1)
    dress(ax, f"{shorten(spectrum.layer, 34) or '(the model)'}\n{_words(fit)}", size=8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    bulk = len(values) - min(fit.n_tail, len(values))
    ax.plot(values[:bulk], share[:bulk], ".", color=GREY, ms=4, gid="bulk")
    ax.plot(values[bulk:], share[bulk:], ".", color=BLUE, ms=5, gid="tail")
    if math.isfinite(fit.alpha) and fit.x_min > 0 and bulk < len(values):
        ends = np.array([fit.x_min, values[-1]])
        law = share[bulk] * (ends / fit.x_min) ** (1 - fit.alpha)
        ax.plot(ends, law, "-", color=VERMILION, lw=1.8, gid="fit")
        ax.axvline(fit.x_min, color=VERMILION, lw=1, ls=":", gid="x_min")
    if fit.reason:
        words = "\n".join(textwrap.wrap(fit.reason, 30, max_lines=4, placeholder=" …"))
        ax.text(0.03, 0.04, words, fontsize=7.5, color=INK, transform=ax.transAxes, parse_math=False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(numticks=5))
        axis.set_minor_locator(NullLocator())
    ax.grid(True, which="major", color=PALE, lw=0.5)


def _words(fit: PowerLawFit) -> str:
    """α with its standard error and the size of the tail it was fitted to."""
    if not math.isfinite(fit.alpha):
        return "no α"
    return f"α {fit.alpha:.2f} ± {fit.sigma:.2f}, tail {fit.n_tail} of {fit.n}"
