"""The eigenvalues of the layers' weights and the power law fitted to their tail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._legends import legend, legend_below
from lightning_factorlens.plots._records import check_history, layer_spectra
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    SIDE_MARGIN,
    SMALL,
    VERMILION,
    WIDTH,
    add_title,
    figure_of,
    new_figure,
    style_axes,
    subsample,
    when,
)
from lightning_factorlens.plots.type_width import fitting_size, layer_label, wrap_text
from lightning_factorlens.results import LayerSpectrum, Observation, PowerLawFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Largest number of layers, evenly spaced from the first to the last, and number of panels in a row.
MAX_LAYERS = 6
COLUMNS = 2
#: Height of a panel with its title, of the title and legend of the figure, and of the axis label below all panels, in
#: inches.
PANEL = 2.1
TOP = 0.8
BOTTOM = 0.55
#: Width of the axis label left of all panels, in inches.
LEFT = 0.72
#: Lines of a panel's title: the layer, α, and why there is none or why it is weak.
TITLE_LINES = 3


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
    return layer_spectra_figure(spectra, f"Spectra, {when(history[-1])}") if spectra else None


def layer_spectra_figure(spectra: Sequence[LayerSpectrum], title: str = "Spectra") -> Figure:
    """The panels of `spectra_figure`.

    Args:
        spectra: At least one spectrum.
        title: The title.
    """
    shown = subsample(spectra, MAX_LAYERS)
    n_columns = min(COLUMNS, len(shown))
    n_rows = math.ceil(len(shown) / n_columns)
    height = PANEL * n_rows + TOP + BOTTOM
    panel_width = (WIDTH - LEFT) / n_columns
    figure = new_figure(height)
    for index, spectrum in enumerate(shown):
        row, column = divmod(index, n_columns)
        x = LEFT + 0.05 + column * panel_width
        y = height - TOP - (row + 1) * PANEL
        width = panel_width - 0.55
        position = (x / WIDTH, (y + 0.3) / height, width / WIDTH, (PANEL - 0.95) / height)
        _draw_spectrum(figure.add_axes(position), spectrum, width)
    if len(shown) < len(spectra):
        title += f", {len(shown)} of {len(spectra)} layers"
    add_title(figure, title)
    _add_shared_legend(figure, height)
    figure.supxlabel("eigenvalue σ² of the weight", fontsize=SMALL, color=INK, y=0.1 / height)
    figure.supylabel("fraction of the eigenvalues ≥ x", fontsize=SMALL, color=INK, x=0.1 / WIDTH)
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
        figure = new_figure(5.3, 6.4)
        figure.text(0.02, 0.02, _all_numbers(spectrum), fontsize=SMALL - 1, color=INK, linespacing=1.5)
        ax = figure.add_axes((0.125, 0.31, 0.825, 0.58))
        _draw_spectrum(ax, spectrum, 5.5, size=SMALL)
        legend_below(ax, 0.55, 3, fontsize=SMALL - 1)
    else:
        _draw_spectrum(ax, spectrum, ax.bbox.width / figure_of(ax).dpi, size=SMALL)
        legend(ax, fontsize=SMALL - 1)
    ax.set_xlabel(f"eigenvalue σ² of the weight ({spectrum.mode})", fontsize=SMALL, color=INK)
    ax.set_ylabel("fraction of the eigenvalues ≥ x", fontsize=SMALL, color=INK)
    return figure_of(ax)


def _add_shared_legend(figure: Figure, height: float) -> None:
    """What the marks of all panels mean, below the title."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=BLUE, marker=".", ls="", ms=8, label="tail"),
        Line2D([], [], color=GREY, marker=".", ls="", ms=7, label="below x_min"),
        Line2D([], [], color=VERMILION, lw=1.8, label="power law"),
        Line2D([], [], color=VERMILION, lw=1.4, ls=":", label="x_min"),
        Line2D([], [], color=GREEN, lw=1.4, ls="--", label="end of pure noise"),
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(SIDE_MARGIN / WIDTH, 1 - 0.34 / height),
        ncols=3,
        fontsize=SMALL - 1,
        labelcolor=INK,
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.0,
        columnspacing=1.0,
    )


def _draw_spectrum(ax: Axes, spectrum: LayerSpectrum, width: float, size: float = 9.5) -> None:
    """One spectrum; ``width`` is that of the axes in inches."""
    fit = spectrum.fit
    values = np.sort(spectrum.eigenvalues.detach().double().cpu().numpy())
    values = values[np.isfinite(values) & (values > 0)]
    fraction = np.arange(len(values), 0, -1) / max(len(values), 1)
    title_size = fitting_size(_alpha_text(fit), width + 0.2, size + 1)
    style_axes(ax, "\n".join(_title_lines(spectrum, width, title_size)), size=size)
    ax.set_title(ax.get_title(loc="left"), loc="left", y=1.0, fontsize=title_size, parse_math=False)
    ax.set_xscale("log")
    ax.set_yscale("log")
    n_bulk = len(values) - min(fit.n_tail, len(values))
    ax.plot(values[:n_bulk], fraction[:n_bulk], ".", color=GREY, ms=4, gid="bulk", label="below x_min")
    ax.plot(values[n_bulk:], fraction[n_bulk:], ".", color=BLUE, ms=5, gid="tail", label="tail")
    if math.isfinite(fit.alpha) and fit.x_min > 0 and n_bulk < len(values):
        ends = np.array([fit.x_min, values[-1]])
        law = fraction[n_bulk] * (ends / fit.x_min) ** (1 - fit.alpha)
        ax.plot(ends, law, "-", color=VERMILION, lw=1.8, gid="fit", label="power law")
        ax.axvline(fit.x_min, color=VERMILION, lw=1.4, ls=":", gid="x_min", label="x_min")
    if math.isfinite(spectrum.mp_edge) and len(values):
        ax.axvline(
            spectrum.mp_edge, color=GREEN, lw=1.4, ls="--", gid="mp_edge", label="end of noise (Marchenko–Pastur)"
        )
    _set_log_ticks(ax.xaxis, *ax.get_xlim())
    _set_log_ticks(ax.yaxis, *ax.get_ylim())


def _set_log_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks at powers of ten; on little more than a decade, where all of these may lie outside, further ones."""
    from matplotlib.ticker import LogLocator, NullLocator

    is_short = high < 20 * low
    multiples = (1, 2, 5) if is_short else (1,)
    axis.set_major_locator(LogLocator(subs=multiples, numticks=5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _title_lines(spectrum: LayerSpectrum, width: float, size: float) -> list[str]:
    """At most `TITLE_LINES` lines of a width in inches."""
    lines = [layer_label(spectrum.layer, width, size)]
    reason = spectrum.fit.reason
    if math.isfinite(spectrum.fit.alpha) or not reason:
        lines.append(_alpha_text(spectrum.fit))
    else:
        reason = f"no α: {reason}"
    wrapped = wrap_text(reason, width, size)
    n_free = TITLE_LINES - len(lines)
    if len(wrapped) > n_free:
        wrapped = [*wrapped[: n_free - 1], layer_label(" ".join(wrapped[n_free - 1 :]), width, size)]
    return [*lines, *wrapped]


def _alpha_text(fit: PowerLawFit) -> str:
    """α with its standard error and the size of the tail it was fitted to."""
    if not math.isfinite(fit.alpha):
        return "no α"
    return f"α {fit.alpha:.2f} ± {fit.sigma:.2f}, tail {_short_count(fit.n_tail)} of {_short_count(fit.n)}"


def _short_count(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.3g}k"


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
