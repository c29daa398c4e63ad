"""Error against rank: now, before, and the floor that no factorisation can pass."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    PAST,
    SMALL,
    VERMILION,
    legend,
    new_figure,
    style_axes,
    subsample,
)
from lightning_factorlens.results import Observation, RequiredRank


def rank_curve_figure(history: Sequence[Observation]) -> Figure:
    """Relative error of all blocks together against rank: now, before, and the SVD's floor.

    Args:
        history: Observations of one run, oldest first; the last is the present one. Only the ``"total"``
            curves, the floor of the last and its required ranks are read.

    Returns:
        The figure. Lines carry the ids ``current``, ``floor`` and ``past/<epoch>``.

    Raises:
        ValueError: When ``history`` is empty.
    """
    if not history:
        raise ValueError("history must hold at least one observation; found none")
    figure = new_figure(4.3)
    draw_rank_curve(figure.add_axes((0.14, 0.145, 0.835, 0.765)), history)
    return figure


def draw_rank_curve(ax: Axes, history: Sequence[Observation]) -> None:
    """The same into axes that are there already."""
    now, past = history[-1], subsample(history[:-1], PAST)
    for k, then in enumerate(past):
        curve = then.curves["total"]
        alpha = 0.12 + 0.38 * (k + 1) / len(past)
        ax.plot(curve.ranks, curve.rel_error, color=BLUE, lw=1.1, alpha=alpha, gid=f"past/{then.epoch}")
    if "total" in now.svd_curves:
        floor = now.svd_curves["total"]
        ax.plot(floor.ranks, floor.rel_error, "--", color=VERMILION, lw=2.2, gid="floor", zorder=3)
    curve = now.curves["total"]
    ax.plot(curve.ranks, curve.rel_error, "o-", color=BLUE, lw=2.8, ms=7, gid="current", zorder=4)
    style_axes(ax, f"Error against rank, epoch {now.epoch}", "rank", "relative error  ‖X − X̂‖ / ‖X‖")
    _rank_axis(ax, curve.ranks)
    for required in now.required_ranks:
        _mark_required(ax, required, curve.ranks)
    _rank_legend(ax, now, past)


def _rank_axis(ax: Axes, ranks: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(ranks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([str(rank) for rank in ranks])
    ax.set_ylim(bottom=0)


def _mark_required(ax: Axes, required: RequiredRank, ranks: Sequence[int]) -> None:
    """A line at τ, a diamond where the curve meets it, and words at the other end."""
    share = f"{100 * required.tau:.4g} %"
    words = (
        f"{share} not reached by rank {ranks[-1]}"
        if required.is_lower_bound
        else f"{share} at rank {required.rank:.1f}"
    )
    ax.axhline(required.tau, color=GREEN, lw=1.4, ls=":", zorder=1)
    early = not required.is_lower_bound and required.rank**2 < ranks[0] * ranks[-1]
    x, side = (ranks[-1], "right") if early else (ranks[0], "left")
    text = ax.text(x, required.tau, words, color=GREEN, fontsize=SMALL, va="bottom", ha=side, zorder=6)
    text.set(gid=f"required/{required.tau}", bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1})
    if not required.is_lower_bound:
        ax.plot([required.rank], [required.tau], "D", color=GREEN, ms=8, mec="white", zorder=5, gid="required")


def _rank_legend(ax: Axes, now: Observation, past: Sequence[Observation]) -> None:
    handles = [Line2D([], [], color=BLUE, lw=2.8, marker="o", label=f"NMF, epoch {now.epoch}")]
    if past:
        epochs = f"{past[0].epoch}" if len(past) == 1 else f"{past[0].epoch} to {past[-1].epoch}, later is darker"
        handles.append(Line2D([], [], color=BLUE, lw=1.1, alpha=0.45, label=f"epoch {epochs}"))
    if "total" in now.svd_curves:
        handles.append(Line2D([], [], color=VERMILION, lw=2.2, ls="--", label="SVD: no factorisation passes below"))
    legend(ax, handles=handles)
