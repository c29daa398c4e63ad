"""Figures out of observations: the common look, and the error against rank. Nothing is written or shown here.

Matplotlib's object-oriented interface only: no pyplot, no backend, no global setting, and every colour and
size stated, so that neither a user's style sheet nor a dark page makes a figure unreadable. Colours are Okabe
and Ito's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from lightning_factorlens.types import Observation, RequiredRank

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, GREY, PALE = "#222222", "#8A8A8A", "#DDDDDD"
#: Past curves drawn behind the present one.
PAST = 12

T = TypeVar("T")


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
    now, past = history[-1], evenly(history[:-1], PAST)
    figure = blank(5.8, 4.2)
    ax = figure.add_axes((0.125, 0.135, 0.85, 0.775))
    for k, then in enumerate(past):
        curve = then.curves["total"]
        alpha = 0.12 + 0.38 * (k + 1) / len(past)
        ax.plot(curve.ranks, curve.rel_error, color=BLUE, lw=1.1, alpha=alpha, gid=f"past/{then.epoch}")
    if "total" in now.floors:
        floor = now.floors["total"]
        ax.plot(floor.ranks, floor.rel_error, "--", color=VERMILION, lw=1.8, gid="floor", zorder=3)
    curve = now.curves["total"]
    ax.plot(curve.ranks, curve.rel_error, "o-", color=BLUE, lw=2.6, ms=6, gid="current", zorder=4)
    dress(ax, f"Error against rank, epoch {now.epoch}", "rank", "relative error  ‖X − X̂‖ / ‖X‖")
    _rank_axis(ax, curve.ranks)
    for required in now.required_ranks:
        _mark_required(ax, required, curve.ranks)
    _rank_legend(ax, now, past)
    return figure


def blank(width: float, height: float) -> Figure:
    """An empty figure on opaque white; width and height in inches of 100 pixels."""
    return Figure(figsize=(width, height), dpi=100, facecolor="white")


def dress(ax: Axes, title: str, xlabel: str = "", ylabel: str = "", size: float = 11) -> None:
    """The common look. Names come from the user, so dollar signs in them are not mathematics."""
    ax.set_facecolor("white")
    ax.set_title(title, loc="left", fontsize=size + 1, color=INK, parse_math=False)
    ax.set_xlabel(xlabel, fontsize=size, color=INK)
    ax.set_ylabel(ylabel, fontsize=size, color=INK)
    ax.tick_params(which="both", colors=INK, labelsize=size - 1)
    ax.grid(True, which="major", color=PALE, lw=0.6, ls="-")
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _rank_axis(ax: Axes, ranks: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(ranks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([str(rank) for rank in ranks])
    ax.set_ylim(bottom=0)


def _mark_required(ax: Axes, required: RequiredRank, ranks: Sequence[int]) -> None:
    """A line at τ, in words where the curve meets it, and a diamond at the place."""
    share = f"{100 * required.tau:.4g} %"
    words = f"{share} not reached by rank {ranks[-1]}" if required.capped else f"{share} at rank {required.rank:.1f}"
    ax.axhline(required.tau, color=GREEN, lw=1.2, ls=":", zorder=1)
    ax.text(ranks[0], required.tau, words, color=GREEN, fontsize=9.5, va="bottom", gid=f"required/{required.tau}")
    if not required.capped:
        ax.plot([required.rank], [required.tau], "D", color=GREEN, ms=7, mec="white", zorder=5, gid="required")


def _rank_legend(ax: Axes, now: Observation, past: Sequence[Observation]) -> None:
    handles = [Line2D([], [], color=BLUE, lw=2.6, marker="o", label=f"NMF, epoch {now.epoch}")]
    if past:
        epochs = f"{past[0].epoch}" if len(past) == 1 else f"{past[0].epoch} to {past[-1].epoch}, later is darker"
        handles.append(Line2D([], [], color=BLUE, lw=1.1, alpha=0.45, label=f"epoch {epochs}"))
    if "total" in now.floors:
        handles.append(Line2D([], [], color=VERMILION, lw=1.8, ls="--", label="SVD: no factorisation passes below"))
    ax.legend(handles=handles, loc="upper right", fontsize=9.5, labelcolor=INK, facecolor="white", edgecolor="none")
