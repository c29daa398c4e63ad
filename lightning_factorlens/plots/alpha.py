"""α over depth and over epochs: which layers have settled, and which still change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_factorlens.plots._records import check_history, epochs_of, layer_exponents, layer_spectra
from lightning_factorlens.plots.style import (
    BLUE,
    GREY,
    MAX_PAST,
    SMALL,
    VERMILION,
    integer_locator,
    layer_label,
    legend,
    new_figure,
    past_opacity,
    style_axes,
    subsample,
)
from lightning_factorlens.results import LayerExponent, LayerSpectrum, Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of layers that are named below the axis, evenly spaced.
MAX_NAMES = 12
#: With fewer eigenvalues α is noise; such layers have hollow markers.
MIN_EIGENVALUES = 20


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
    if not any(math.isfinite(spectrum.fit.alpha) for spectrum in layer_spectra(history[-1])):
        return None
    figure = new_figure(6.4)
    _draw_depth(figure.add_axes((0.135, 0.62, 0.85, 0.325)), history)
    _draw_epochs(figure.add_axes((0.135, 0.09, 0.85, 0.3)), history)
    return figure


def _draw_depth(ax: Axes, history: Sequence[Observation]) -> None:
    spectra = layer_spectra(history[-1])
    style_axes(ax, f"α of every layer, epoch {history[-1].epoch}", "", "α ± σ")
    past = subsample(history[:-1], MAX_PAST)
    for index, observation in enumerate(past):
        exponents = layer_exponents(observation)
        past_alphas = []
        for spectrum in spectra:
            exponent = exponents.get(spectrum.layer)
            past_alphas.append(math.nan if exponent is None else exponent.alpha)
        opacity = past_opacity(index, len(past))
        ax.plot(past_alphas, "-", color=BLUE, lw=1, alpha=opacity, gid=f"past/{observation.epoch}")
    alphas = []
    sigmas = []
    weak_alphas = []
    for spectrum in spectra:
        is_weak = spectrum.fit.n < MIN_EIGENVALUES
        alphas.append(spectrum.fit.alpha)
        sigmas.append(spectrum.fit.sigma)
        weak_alphas.append(spectrum.fit.alpha if is_weak else math.nan)
    ax.errorbar(range(len(spectra)), alphas, yerr=sigmas, fmt="none", ecolor=GREY, elinewidth=1, capsize=2)
    ax.plot(alphas, "o-", color=BLUE, lw=2, ms=5, gid="current", zorder=4)
    if np.isfinite(weak_alphas).any():
        label = f"fewer than {MIN_EIGENVALUES} eigenvalues: noise"
        ax.plot(weak_alphas, "o", color=BLUE, mfc="white", ms=5, gid="weak", zorder=5, label=label)
        legend(ax)
    _name_layers(ax, spectra)
    _set_alpha_limits(ax, alphas, sigmas)


def _name_layers(ax: Axes, spectra: Sequence[LayerSpectrum]) -> None:
    """Names of some layers below the axis."""
    positions = subsample(range(len(spectra)), MAX_NAMES)
    labels = [layer_label(spectra[position].layer, 18) for position in positions]
    ax.set_xticks(positions)
    ax.set_xticklabels(labels, rotation=40, ha="right", fontsize=SMALL - 1, parse_math=False)
    ax.set_xlim(-0.5, len(spectra) - 0.5)


def _draw_epochs(ax: Axes, history: Sequence[Observation]) -> None:
    style_axes(ax, "α over epochs, each layer and their mean", "epoch", "α")
    epochs = epochs_of(history)
    drawn: list[float] = []
    exponents = [layer_exponents(observation) for observation in history]
    for spectrum in layer_spectra(history[-1]):
        alphas = _reliable_alphas(exponents, spectrum.layer)
        drawn += alphas
        ax.plot(epochs, alphas, "-", color=BLUE, lw=1, alpha=0.35, gid=f"layer/{spectrum.layer}")
    means = _mean_alphas(history)
    ax.plot(epochs, means, "o-", color=VERMILION, lw=2.4, ms=4, gid="mean", label="mean", zorder=4)
    legend(ax)
    ax.xaxis.set_major_locator(integer_locator())
    _set_alpha_limits(ax, [*drawn, *means], [0.0])


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


def _set_alpha_limits(ax: Axes, alphas: Sequence[float], sigmas: Sequence[float]) -> None:
    """Limits that show most layers: the largest α, which small layers can have, may lie outside."""
    finite = np.array([alpha for alpha in alphas if math.isfinite(alpha)])
    if not finite.size:
        return
    spread = 0.2
    if np.isfinite(sigmas).any():
        spread = max(float(np.nanmedian(sigmas)), spread)
    lower = max(1.0, float(finite.min()) - 2 * spread)
    upper = float(np.quantile(finite, 0.98)) + 3 * spread
    ax.set_ylim(lower, upper)
