"""α over depth and over epochs: which layers have settled, and which still move."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_factorlens.loggers.tables import shorten
from lightning_factorlens.plots.style import (
    BLUE,
    GREY,
    PAST,
    SMALL,
    VERMILION,
    legend,
    new_figure,
    style_axes,
    subsample,
)  # fmt: skip
from lightning_factorlens.results import LayerSpectrum, Observation

#: Layers named below the axis; of more, so many evenly spaced.
NAMED = 12
#: Eigenvalues below which α is noise; such layers are drawn hollow.
WEAK_BELOW = 20


def alpha_figure(history: Sequence[Observation]) -> Figure | None:
    """Above: α of every layer from input to output, now with σ, and before. Below: α of every layer, and their mean.

    Args:
        history: Observations of one run, oldest first; the last is the present one. Only ``epoch``, ``spectra`` and
            ``alpha`` are read.

    Returns:
        The figure, or None when the last observation has no layer with an α. Lines carry the ids ``current``,
        ``weak``, ``past/<epoch>``, ``layer/<name>`` and ``mean``.

    Raises:
        ValueError: When ``history`` is empty.
    """
    if not history:
        raise ValueError("history must hold at least one observation; found none")
    if not any(math.isfinite(s.fit.alpha) for s in history[-1].spectra):
        return None
    figure = new_figure(6.4)
    _depth(figure.add_axes((0.135, 0.62, 0.85, 0.325)), history)
    _epochs(figure.add_axes((0.135, 0.09, 0.85, 0.3)), history)
    return figure


def _depth(ax: Axes, history: Sequence[Observation]) -> None:
    now, past = history[-1], subsample(history[:-1], PAST)
    names = [s.layer for s in now.spectra]
    style_axes(ax, f"α of every layer, epoch {now.epoch}", "", "α ± σ")
    for k, then in enumerate(past):
        known = {s.layer: s.fit.alpha for s in then.spectra}
        alphas = [known.get(name, math.nan) for name in names]
        ax.plot(alphas, "-", color=BLUE, lw=1, alpha=0.12 + 0.38 * (k + 1) / len(past), gid=f"past/{then.epoch}")
    fits = [s.fit for s in now.spectra]
    alphas, sigmas = [f.alpha for f in fits], [f.sigma for f in fits]
    weak = np.array([f.n < WEAK_BELOW for f in fits])
    ax.errorbar(range(len(fits)), alphas, yerr=sigmas, fmt="none", ecolor=GREY, elinewidth=1, capsize=2)
    ax.plot(alphas, "o-", color=BLUE, lw=2, ms=5, gid="current", zorder=4)
    hollow = np.where(weak, alphas, math.nan)
    if np.isfinite(hollow).any():
        words = f"fewer than {WEAK_BELOW} eigenvalues: noise"
        ax.plot(hollow, "o", color=BLUE, mfc="white", ms=5, gid="weak", zorder=5, label=words)
        legend(ax)
    shown = subsample(range(len(names)), NAMED)
    ax.set_xticks(shown)
    labels = [shorten(names[k], 18) or "(the model)" for k in shown]
    ax.set_xticklabels(labels, rotation=40, ha="right", fontsize=SMALL - 1, parse_math=False)
    ax.set_xlim(-0.5, len(names) - 0.5)
    _limits(ax, alphas, sigmas)


def _epochs(ax: Axes, history: Sequence[Observation]) -> None:
    style_axes(ax, "α over epochs, each layer and their mean", "epoch", "α")
    epochs = [o.epoch for o in history]
    by_epoch: list[dict[str, LayerSpectrum]] = [{s.layer: s for s in o.spectra} for o in history]
    drawn = []
    for spectrum in history[-1].spectra:
        past = [layers.get(spectrum.layer) for layers in by_epoch]
        alphas = [s.fit.alpha if s and s.fit.n >= WEAK_BELOW else math.nan for s in past]
        drawn += alphas
        ax.plot(epochs, alphas, "-", color=BLUE, lw=1, alpha=0.35, gid=f"layer/{spectrum.layer}")
    means = [o.alpha.mean_alpha if o.alpha else math.nan for o in history]
    ax.plot(epochs, means, "o-", color=VERMILION, lw=2.4, ms=4, gid="mean", label="mean", zorder=4)
    legend(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _limits(ax, [*drawn, *means], [0.0])


def _limits(ax: Axes, alphas: Sequence[float], sigmas: Sequence[float]) -> None:
    """A single wild α of a small layer may leave the picture; the bulk of them may not."""
    finite = np.array([a for a in alphas if math.isfinite(a)])
    if finite.size:
        spread = max(float(np.nanmedian(sigmas)) if np.isfinite(sigmas).any() else 0.0, 0.2)
        ax.set_ylim(max(1.0, float(finite.min()) - 2 * spread), float(np.quantile(finite, 0.98)) + 3 * spread)
