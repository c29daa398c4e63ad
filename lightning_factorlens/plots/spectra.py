"""The eigenvalues of the layers' weights and the power law fitted to their tail."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._records import check_history, layer_spectra
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    PALE,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    figure_of,
    layer_label,
    legend,
    new_figure,
    style_axes,
    subsample,
)
from lightning_factorlens.results import LayerSpectrum, Observation, PowerLawFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Largest number of layers, evenly spaced from the first to the last, and number of panels in a row.
MAX_LAYERS = 6
COLUMNS = 2
#: Height of a panel with its title, of the title of the figure, and of the axis label below all panels, in inches.
PANEL = 2.1
TOP = 0.8
BOTTOM = 0.55
#: Width of the axis label left of all panels, in inches.
LEFT = 0.72


def spectra_figure(history: Sequence[Observation]) -> Figure | None:
    """Fraction of eigenvalues at or above each eigenvalue, one panel for each layer, both axes logarithmic.

    Args:
        history: Observations of one run, oldest first. The record ``weight_spectra`` of the last one is drawn.

    Returns:
        The figure, or None without spectra. Lines have the ids ``bulk``, ``tail``, ``fit``, ``x_min`` and ``mp_edge``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    spectra = layer_spectra(history[-1])
    shown = subsample(spectra, MAX_LAYERS)
    if not shown:
        return None
    n_columns = min(COLUMNS, len(shown))
    n_rows = math.ceil(len(shown) / n_columns)
    height = PANEL * n_rows + TOP + BOTTOM
    panel_width = (WIDTH - LEFT) / n_columns
    figure = new_figure(height)
    for index, spectrum in enumerate(shown):
        row, column = divmod(index, n_columns)
        x = LEFT + column * panel_width
        y = height - TOP - (row + 1) * PANEL
        position = (x / WIDTH, (y + 0.3) / height, (panel_width - 0.42) / WIDTH, (PANEL - 0.85) / height)
        _draw_spectrum(figure.add_axes(position), spectrum)
    title = f"Spectra, epoch {history[-1].epoch}"
    if len(shown) < len(spectra):
        title += f", {len(shown)} of {len(spectra)} layers"
    lines = (
        "blue: tail above x_min (dotted); orange line: power law;",
        "green dashes: where the bulk of pure noise would end",
    )
    add_title(figure, title, lines)
    figure.supxlabel("eigenvalue σ² of the weight", fontsize=SMALL + 0.5, color=INK, y=0.1 / height)
    figure.supylabel("fraction of eigenvalues ≥ x", fontsize=SMALL + 0.5, color=INK, x=0.1 / WIDTH)
    return figure


def spectrum_figure(spectrum: LayerSpectrum, ax: Axes | None = None) -> Figure:
    """One layer's spectrum, larger, with the numbers that were found.

    Args:
        spectrum: The spectrum.
        ax: Axes to draw into, then without the numbers; None for a new figure.

    Returns:
        The figure, with lines of the same ids as a panel of `spectra_figure`.
    """
    if ax is None:
        figure = new_figure(4.8, 6.4)
        figure.text(0.02, 0.02, _all_numbers(spectrum), fontsize=8.5, color=INK, linespacing=1.5)
        ax = figure.add_axes((0.115, 0.235, 0.865, 0.645))
    _draw_spectrum(ax, spectrum, size=10)
    ax.set_xlabel(f"eigenvalue σ² of the weight ({spectrum.mode})", fontsize=10, color=INK)
    ax.set_ylabel("fraction of eigenvalues ≥ x", fontsize=10, color=INK)
    handles, _ = ax.get_legend_handles_labels()
    legend(ax, handles=handles, fontsize=8.5)
    return figure_of(ax)


def _draw_spectrum(ax: Axes, spectrum: LayerSpectrum, size: float = 9.5) -> None:
    fit = spectrum.fit
    values = np.sort(spectrum.eigenvalues.detach().double().cpu().numpy())
    values = values[np.isfinite(values) & (values > 0)]
    fraction = np.arange(len(values), 0, -1) / max(len(values), 1)
    style_axes(ax, f"{layer_label(spectrum.layer, 26)}\n{_alpha_text(fit)}", size=size)
    ax.set_xscale("log")
    ax.set_yscale("log")
    n_bulk = len(values) - min(fit.n_tail, len(values))
    ax.plot(values[:n_bulk], fraction[:n_bulk], ".", color=GREY, ms=4, gid="bulk", label="below x_min")
    ax.plot(values[n_bulk:], fraction[n_bulk:], ".", color=BLUE, ms=5, gid="tail", label="tail")
    if math.isfinite(fit.alpha) and fit.x_min > 0 and n_bulk < len(values):
        ends = np.array([fit.x_min, values[-1]])
        law = fraction[n_bulk] * (ends / fit.x_min) ** (1 - fit.alpha)
        ax.plot(ends, law, "-", color=VERMILION, lw=1.8, gid="fit", label="power law")
        ax.axvline(fit.x_min, color=VERMILION, lw=1, ls=":", gid="x_min", label="x_min")
    if math.isfinite(spectrum.mp_edge) and len(values):
        ax.axvline(spectrum.mp_edge, color=GREEN, lw=1.2, ls="--", gid="mp_edge", label="Marchenko–Pastur edge")
    if fit.reason:
        text = "\n".join(textwrap.wrap(fit.reason, 30, max_lines=4, placeholder=" …"))
        ax.text(0.03, 0.04, text, fontsize=7.5, color=INK, transform=ax.transAxes, parse_math=False)
    _set_log_ticks(ax.xaxis, *ax.get_xlim())
    _set_log_ticks(ax.yaxis, *ax.get_ylim())
    ax.grid(True, which="major", color=PALE, lw=0.5)


def _set_log_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks at powers of ten; on little more than a decade, where all of these may lie outside, further ones."""
    from matplotlib.ticker import LogLocator, NullLocator

    is_short = high < 20 * low
    multiples = (1, 2, 5) if is_short else (1,)
    axis.set_major_locator(LogLocator(subs=multiples, numticks=5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _alpha_text(fit: PowerLawFit) -> str:
    """α with its standard error and the size of the tail it was fitted to."""
    if not math.isfinite(fit.alpha):
        return "no α"
    return f"α {fit.alpha:.2f} ± {fit.sigma:.2f}, tail {fit.n_tail} of {fit.n}"


def _all_numbers(spectrum: LayerSpectrum) -> str:
    """At most three lines of what the axes do not show; unknown numbers are left out."""
    fit = spectrum.fit
    tail = {
        "α corrected": fit.alpha_corrected,
        "x_min": fit.x_min,
        "KS": fit.ks_distance,
        "p": fit.p_value,
        "σ with x_min": fit.sigma_bootstrap,
    }
    alternatives = {
        "R against lognormal": fit.lognormal_ratio,
        "p lognormal": fit.lognormal_p,
        "R against truncated": fit.truncated_ratio,
        "p truncated": fit.truncated_p,
    }
    matrix = {
        "λ max": spectrum.lambda_max,
        "stable rank": spectrum.stable_rank,
        "entropy rank": spectrum.entropy_rank,
        "spikes": spectrum.spikes,
        "traps": spectrum.traps,
    }
    lines = [_numbers_line(tail), _numbers_line(alternatives), _numbers_line(matrix)]
    return "\n".join(filter(None, lines))


def _numbers_line(numbers: Mapping[str, float | None]) -> str:
    known = []
    for name, value in numbers.items():
        if value is not None and math.isfinite(value):
            known.append(f"{name} {value:.4g}")
    return "   ".join(known)
