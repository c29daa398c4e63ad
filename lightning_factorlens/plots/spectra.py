"""Small multiples of the layers' eigenvalues with the power law fitted to their tail."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from lightning_factorlens.loggers.tables import shorten
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
    legend,
    new_figure,
    style_axes,
    subsample,
)  # fmt: skip
from lightning_factorlens.results import LayerSpectrum, Observation, PowerLawFit

#: Layers shown; of more, so many evenly spaced from the first to the last.
MOST = 6
COLUMNS = 2
#: Inches: height of a panel with its title, of the lines above all panels, of those below.
PANEL, TOP, BOTTOM = 2.1, 0.8, 0.55


def spectra_figure(observation: Observation) -> Figure | None:
    """Share of eigenvalues at or above each eigenvalue, a panel a layer, both axes logarithmic.

    Args:
        observation: Of which the spectra are drawn.

    Returns:
        The figure, or None without spectra. Lines carry the ids ``bulk``, ``tail``, ``fit``, ``x_min`` and
        ``mp_edge``.
    """
    shown = subsample(observation.spectra, MOST)
    if not shown:
        return None
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    height = PANEL * rows + TOP + BOTTOM
    figure = new_figure(height)
    left, wide = 0.72, (WIDTH - 0.72) / columns
    for k, spectrum in enumerate(shown):
        x, y = left + (k % columns) * wide, height - TOP - (k // columns + 1) * PANEL
        _panel(
            figure.add_axes((x / WIDTH, (y + 0.3) / height, (wide - 0.42) / WIDTH, (PANEL - 0.85) / height)), spectrum
        )
    total = len(observation.spectra)
    count = f", {len(shown)} of {total} layers" if len(shown) < total else ""
    words = (
        "blue: tail above x_min (dotted); orange line: power law;",
        "green dashes: where the bulk of pure noise would end",
    )
    add_title(figure, f"Spectra, epoch {observation.epoch}{count}", words)
    figure.supxlabel("eigenvalue σ² of the weight", fontsize=SMALL + 0.5, color=INK, y=0.1 / height)
    figure.supylabel("share of eigenvalues ≥ x", fontsize=SMALL + 0.5, color=INK, x=0.1 / WIDTH)
    return figure


def spectrum_figure(spectrum: LayerSpectrum) -> Figure:
    """One layer's spectrum by itself, larger, with all that was found in words.

    Args:
        spectrum: What is drawn.

    Returns:
        The figure, with the same lines and ids as one panel of :func:`spectra_figure`.
    """
    figure = new_figure(4.8, 6.4)
    ax = figure.add_axes((0.115, 0.235, 0.865, 0.645))
    _panel(ax, spectrum, size=10)
    ax.set_xlabel(f"eigenvalue σ² of the weight ({spectrum.mode})", fontsize=10, color=INK)
    ax.set_ylabel("share of eigenvalues ≥ x", fontsize=10, color=INK)
    handles, _ = ax.get_legend_handles_labels()
    legend(ax, handles=handles, fontsize=8.5)
    figure.text(0.02, 0.02, _all_numbers(spectrum), fontsize=8.5, color=INK, linespacing=1.5)
    return figure


def _panel(ax: Axes, spectrum: LayerSpectrum, size: float = 9.5) -> None:
    fit = spectrum.fit
    values = np.sort(spectrum.eigenvalues.detach().double().cpu().numpy())
    values = values[np.isfinite(values) & (values > 0)]
    share = np.arange(len(values), 0, -1) / max(len(values), 1)
    style_axes(ax, f"{shorten(spectrum.layer, 26) or '(the model)'}\n{_words(fit)}", size=size)
    ax.set_xscale("log")
    ax.set_yscale("log")
    bulk = len(values) - min(fit.n_tail, len(values))
    ax.plot(values[:bulk], share[:bulk], ".", color=GREY, ms=4, gid="bulk", label="below x_min")
    ax.plot(values[bulk:], share[bulk:], ".", color=BLUE, ms=5, gid="tail", label="tail")
    if math.isfinite(fit.alpha) and fit.x_min > 0 and bulk < len(values):
        ends = np.array([fit.x_min, values[-1]])
        law = share[bulk] * (ends / fit.x_min) ** (1 - fit.alpha)
        ax.plot(ends, law, "-", color=VERMILION, lw=1.8, gid="fit", label="power law")
        ax.axvline(fit.x_min, color=VERMILION, lw=1, ls=":", gid="x_min", label="x_min")
    if math.isfinite(spectrum.mp_edge) and len(values):
        ax.axvline(spectrum.mp_edge, color=GREEN, lw=1.2, ls="--", gid="mp_edge", label="Marchenko–Pastur edge")
    if fit.reason:
        words = "\n".join(textwrap.wrap(fit.reason, 30, max_lines=4, placeholder=" …"))
        ax.text(0.03, 0.04, words, fontsize=7.5, color=INK, transform=ax.transAxes, parse_math=False)
    for axis, (least, most) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        short = most < 20 * least  # hardly a decade: the powers of ten alone might all lie outside
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,), numticks=5))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    ax.grid(True, which="major", color=PALE, lw=0.5)


def _words(fit: PowerLawFit) -> str:
    """α with its standard error and the size of the tail it was fitted to."""
    if not math.isfinite(fit.alpha):
        return "no α"
    return f"α {fit.alpha:.2f} ± {fit.sigma:.2f}, tail {fit.n_tail} of {fit.n}"


def _all_numbers(spectrum: LayerSpectrum) -> str:
    """Three lines of what the figure itself does not show; what is not known stays out."""
    fit = spectrum.fit
    tail = {"x_min": fit.x_min, "KS": fit.ks_distance, "p": fit.p_value, "σ with x_min": fit.sigma_bootstrap}
    rivals = {
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
    lines = []
    for group in (tail, rivals, matrix):
        lines.append("   ".join(f"{k} {v:.4g}" for k, v in group.items() if v is not None and math.isfinite(v)))
    return "\n".join(line for line in lines if line)
