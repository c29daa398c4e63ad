"""α over depth and over epochs: which layers have settled, and which still change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._layer_axis import MAX_NAMES, NAME_WIDTH, name_layers
from lightning_factorlens.plots._legends import legend_below, widen_left
from lightning_factorlens.plots._records import check_history, epochs_of, layer_exponents, layer_spectra
from lightning_factorlens.plots.style import (
    BLUE,
    GREY,
    INK,
    LINE_COLORS,
    MAX_PAST,
    WIDTH,
    add_title,
    epoch_label,
    new_figure,
    past_opacity,
    set_epoch_axis,
    style_axes,
    subsample,
    when,
)
from lightning_factorlens.plots.type_width import layer_labels
from lightning_factorlens.results import LayerExponent, LayerSpectrum, Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: With fewer eigenvalues α is noise; such layers have hollow markers.
MIN_EIGENVALUES = 20
#: Largest number of layers that have a colour of their own, evenly spaced; the others are grey.
MAX_COLORS = 5
#: Inches: height of a layer's row, of the chart over epochs, of a line of the legend, and the spaces around the charts.
ROW = 0.24
CHART = 1.9
LEGEND_LINE = 0.22
ABOVE = 0.4
BELOW = 0.62


def alpha_figure(history: Sequence[Observation]) -> Figure | None:
    """α over depth and over epochs.

    Above: α of every layer from input to output with its standard error σ, and earlier values of α. Below: α of every
    layer over the epochs, and the mean over layers.

    Args:
        history: Observations of one run, oldest first; the last is the present one. Their records ``weight_spectra``
            are drawn.

    Returns:
        The figure, or None where no layer of the last observation has an α. Lines have the ids ``current``, ``weak``,
        ``past/<epoch>``, ``layer/<name>`` and ``mean``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    spectra = layer_spectra(history[-1])
    if not any(math.isfinite(spectrum.fit.alpha) for spectrum in spectra):
        return None
    rows = ROW * max(min(len(spectra), MAX_NAMES), 4)
    labelled = _labelled(history)
    n_entries = len(labelled) + 1 + (len(labelled) < len(_reliable(history)))
    legend_height = LEGEND_LINE * -(-n_entries // 2)
    height = ABOVE + rows + BELOW + LEGEND_LINE + ABOVE + CHART + BELOW + legend_height
    figure = new_figure(height)
    add_title(figure, f"α of every layer, {when(history[-1])}")
    left = NAME_WIDTH + 0.2
    bottom = height - ABOVE - rows
    depth = figure.add_axes((left / WIDTH, bottom / height, 1 - (left + 0.2) / WIDTH, rows / height))
    _draw_depth(depth, history)
    bottom = BELOW + legend_height
    epochs = figure.add_axes((0.7 / WIDTH, bottom / height, 1 - 0.9 / WIDTH, CHART / height))
    _draw_epochs(epochs, history, labelled)
    return figure


def _draw_depth(ax: Axes, history: Sequence[Observation]) -> None:
    """One row for each layer, the first above; the rows are not joined, since layers are not a series."""
    spectra = layer_spectra(history[-1])
    style_axes(ax, "", "α ± standard error", "")
    past = subsample(history[:-1], MAX_PAST)
    rows = np.arange(len(spectra))
    for index, observation in enumerate(past):
        exponents = layer_exponents(observation)
        past_alphas = [_alpha(exponents.get(spectrum.layer)) for spectrum in spectra]
        opacity = past_opacity(index, len(past))
        ax.plot(past_alphas, rows, "|", color=BLUE, ms=8, mew=1.6, alpha=opacity, gid=f"past/{observation.epoch}")
    alphas = np.array([spectrum.fit.alpha for spectrum in spectra])
    sigmas = np.array([spectrum.fit.sigma for spectrum in spectra])
    is_weak = np.array([spectrum.fit.n < MIN_EIGENVALUES for spectrum in spectra])
    ax.errorbar(alphas, rows, xerr=sigmas, fmt="none", ecolor=GREY, elinewidth=1.2, capsize=2)
    strong = np.where(is_weak, math.nan, alphas)
    ax.plot(strong, rows, "o", color=BLUE, ms=6, gid="current", zorder=4, label="now")
    if np.isfinite(alphas[is_weak]).any():
        label = f"fewer than {MIN_EIGENVALUES} eigenvalues: noise"
        weak = np.where(is_weak, alphas, math.nan)
        ax.plot(weak, rows, "o", color=BLUE, mfc="white", ms=6, gid="weak", zorder=5, label=label)
    if past:
        ax.plot([], [], "|", color=BLUE, ms=8, mew=1.6, alpha=0.5, label="earlier")
    legend_below(ax, 0.56, 3, left=-NAME_WIDTH)
    name_layers(ax, [spectrum.layer for spectrum in spectra])
    low, high = _alpha_limits(alphas, sigmas)
    ax.set_xlim(low, high)


def _alpha(exponent: LayerExponent | None) -> float:
    return math.nan if exponent is None else exponent.alpha


def _reliable(history: Sequence[Observation]) -> list[LayerSpectrum]:
    """Layers with enough eigenvalues for an α that is more than noise."""
    return [spectrum for spectrum in layer_spectra(history[-1]) if spectrum.fit.n >= MIN_EIGENVALUES]


def _labelled(history: Sequence[Observation]) -> list[str]:
    """Names of the layers that have a colour."""
    return [spectrum.layer for spectrum in subsample(_reliable(history), MAX_COLORS)]


def _draw_epochs(ax: Axes, history: Sequence[Observation], labelled: Sequence[str]) -> None:
    style_axes(ax, "α over epochs", epoch_label(history), "α")
    epochs = epochs_of(history)
    drawn: list[float] = []
    exponents = [layer_exponents(observation) for observation in history]
    labels = layer_labels(labelled, (WIDTH - 0.9) / 2 - 0.6)
    has_others = False
    for spectrum in layer_spectra(history[-1]):
        alphas = _reliable_alphas(exponents, spectrum.layer)
        drawn += alphas
        gid = f"layer/{spectrum.layer}"
        if spectrum.layer in labelled:
            position = labelled.index(spectrum.layer)
            color, label = LINE_COLORS[position], labels[position]
            ax.plot(epochs, alphas, "-", color=color, lw=1.8, gid=gid, label=label, zorder=3)
        else:
            has_others = has_others or spectrum.fit.n >= MIN_EIGENVALUES
            ax.plot(epochs, alphas, "-", color=GREY, lw=0.8, alpha=0.5, gid=gid)
    if has_others:
        n_others = len(_reliable(history)) - len(labelled)
        ax.plot([], [], "-", color=GREY, lw=0.8, alpha=0.5, label=f"{n_others} other layers")
    means = _mean_alphas(history)
    ax.plot(epochs, means, "o--", color=INK, lw=2.4, ms=5, gid="mean", label="mean of the layers", zorder=4)
    legend_below(ax, 0.56, 2)
    set_epoch_axis(ax, history)
    ax.set_ylim(_alpha_limits(np.array([*drawn, *means]), np.zeros(1)))
    widen_left(ax)


def _reliable_alphas(exponents: Sequence[Mapping[str, LayerExponent]], layer: str) -> list[float]:
    """α of one layer at every observation; NaN where it was not measured or has too few eigenvalues."""
    alphas = []
    for exponent_of in exponents:
        alpha = math.nan
        exponent = exponent_of.get(layer)
        if exponent is not None and exponent.n >= MIN_EIGENVALUES:
            alpha = exponent.alpha
        alphas.append(alpha)
    return alphas


def _mean_alphas(history: Sequence[Observation]) -> list[float]:
    """Mean of α over layers at every observation; NaN where there is none."""
    means = []
    for observation in history:
        record = observation.get("weight_spectra")
        has_mean = record is not None and record.summary is not None
        means.append(record.summary.mean_alpha if has_mean else math.nan)
    return means


def _alpha_limits(alphas: np.ndarray, sigmas: np.ndarray) -> tuple[float, float]:
    """Limits that show most layers: the largest α, which small layers can have, may lie outside."""
    finite = alphas[np.isfinite(alphas)]
    if not finite.size:
        return 1.0, 6.0
    spread = 0.2
    if np.isfinite(sigmas).any():
        spread = max(float(np.nanmedian(sigmas)), spread)
    lower = max(1.0, float(finite.min()) - 2 * spread)
    upper = float(np.quantile(finite, 0.98)) + 3 * spread
    return lower, upper
