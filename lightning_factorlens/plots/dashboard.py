"""The first figure of a run: is it still learning, is it memorising, when would it have stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots._legends import widen_left
from lightning_factorlens.plots._records import check_history, epochs_of
from lightning_factorlens.plots.history import consistency_values, effective_ranks
from lightning_factorlens.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL,
    SMALL,
    VERMILION,
    WIDTH,
    epoch_label,
    new_figure,
    set_epoch_axis,
    style_axes,
)
from lightning_factorlens.plots.type_width import text_width
from lightning_factorlens.results import Observation
from lightning_factorlens.results.findings import UNKNOWN, Finding, StopAdvice, run_findings
from lightning_factorlens.results.leading_scalar import CONSISTENCY, RISE, WINDOW, LeadingSeries
from lightning_factorlens.stopping.run_advice import run_advice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Height in inches. TensorBoard's first page shows images 326 × 215 pixels large at a window of 1280 pixels; a figure
#: of these proportions fills them.
HEIGHT = 3.69
#: Size of the type of the answers, in points. On that page it is 11 pixels high.
ANSWER = 13.0
#: Distance of two answers, in inches.
LINE = 0.29
#: Distance of the answers from the left edge, in inches; the marks stand there.
INDENT = 0.36
#: Space behind a word, in inches.
SPACE = 0.06
#: The marks of the answers, which the chart has too, and their colours: the lowest value, the rise above it, the stop.
MARKS = (("◆", BLUE), ("■", VERMILION), ("┇", GREEN))
#: What stands in place of a number before there is any.
NO_VALUE = "no consistency measured"


def dashboard_figure(history: Sequence[Observation], advice: StopAdvice | None = None) -> Figure | None:
    """The three answers about a run in words, above the consistency that they are read from.

    Args:
        history: Observations of one run, oldest first; they need no tensors. Their records ``consistency`` are drawn,
            or ``effective_rank`` where there is none.
        advice: What a stopping rule has decided; None, or one without a decision, for the default rule, see
            `run_advice`.

    Returns:
        The figure, or None where neither has been measured. Texts have the ids ``learning``, ``memorising`` and
        ``stop``; lines ``consistency`` or ``effective_rank``, ``lowest``, ``best`` and ``stop``.

    Raises:
        ValueError: ``history`` is empty.
    """
    check_history(history)
    consistency = consistency_values(history)
    ranks = effective_ranks(history)
    has_consistency = any(map(math.isfinite, consistency))
    if not has_consistency and not any(map(math.isfinite, ranks)):
        return None
    advice = run_advice(history, advice)
    figure = new_figure(HEIGHT)
    answers = _answers(history, advice)
    bottom = _write_answers(figure, answers)
    ax = figure.add_axes((0.125, 0.15, 0.845, bottom / HEIGHT - 0.15))
    if has_consistency:
        _draw_consistency(ax, history, consistency, advice)
    else:
        style_axes(ax, "", epoch_label(history), "effective rank", size=LABEL)
        ax.plot(epochs_of(history), ranks, "o-", color=GREY, lw=2.6, ms=5, gid="effective_rank")
    set_epoch_axis(ax, history)
    widen_left(ax)
    return figure


def _answers(history: Sequence[Observation], advice: StopAdvice | None) -> dict[str, tuple[Finding, str]]:
    """Each finding with a short reason in numbers; the run's texts have the long one."""
    findings = run_findings(history, advice=advice)
    series = LeadingSeries.of(history, CONSISTENCY)
    n_counted = len(series.values) - series.n_warmup
    learning = memorising = f"too early: {n_counted} of {WINDOW + 1} values"
    if not series.values:
        learning = memorising = NO_VALUE
    elif findings.learning.verdict != UNKNOWN:
        lowest = series.best_index(series.n_warmup)
        epoch = series.observations[lowest].epoch
        learning = f"lowest consistency {series.values[lowest]:.3g} at epoch {epoch}"
        memorising = _rise_reason(series, lowest)
    return {
        "learning": (findings.learning, learning),
        "memorising": (findings.memorising, memorising),
        "stop": (findings.stop, _stop_reason(advice)),
    }


def _rise_reason(series: LeadingSeries, lowest: int) -> str:
    """How far the last value is above the lowest one, and for how long where that is too short to count."""
    rise = series.values[-1] / series.values[lowest] - 1 if series.values[lowest] > 0 else math.nan
    if not math.isfinite(rise) or lowest == len(series.values) - 1:
        return "now at its lowest"
    reason = f"{rise:+.0%} since epoch {series.observations[lowest].epoch}"
    n = series.n_risen(lowest)
    if 0 < n < WINDOW:
        reason += f", for {n} of {WINDOW} values"
    return reason


def _stop_reason(advice: StopAdvice | None) -> str:
    if advice is None:
        return NO_VALUE
    name = advice.signal or advice.source  # there is no room for both; the caption says whose rule it is
    if advice.stop_epoch is not None:
        return f"best by {name}, stop after {advice.stop_epoch}"
    return f"{name}: best is epoch {advice.best_epoch}"


def _write_answers(figure: Figure, answers: dict[str, tuple[Finding, str]]) -> float:
    """The answers, one a line, each behind the mark that it has in the chart.

    Returns:
        The height in inches that is left below them.
    """
    y = HEIGHT - 0.1
    free = WIDTH - INDENT - 0.1
    for (name, (finding, reason)), (mark, color) in zip(answers.items(), MARKS):
        y -= LINE
        left = INDENT + text_width(finding.question, ANSWER) + SPACE
        behind = left + text_width(finding.verdict, ANSWER, bold=True) + SPACE
        figure.text(0.12 / WIDTH, y / HEIGHT, mark, color=color, fontsize=ANSWER)
        figure.text(INDENT / WIDTH, y / HEIGHT, finding.question, color=INK, fontsize=ANSWER)
        figure.text(left / WIDTH, y / HEIGHT, finding.verdict, color=INK, fontsize=ANSWER, fontweight="bold", gid=name)
        size = ANSWER
        while behind + text_width(f"({reason})", size) > INDENT + free and size > SMALL - 2:
            size -= 0.5
        figure.text(behind / WIDTH, y / HEIGHT, f"({reason})", color=INK, fontsize=size, gid=f"{name}/reason")
    return y - 0.16


def _draw_consistency(
    ax: Axes, history: Sequence[Observation], values: Sequence[float], advice: StopAdvice | None
) -> None:
    style_axes(ax, "", epoch_label(history), "consistency (nats)", size=LABEL)
    epochs = epochs_of(history)
    ax.plot(epochs, values, "o-", color=INK, lw=2.6, ms=5, gid="consistency", zorder=3)
    series = LeadingSeries.of(history, CONSISTENCY)
    start = series.n_warmup if series.n_warmup < len(series.values) else 0
    if series.values:
        lowest = series.best_index(start)
        epoch = series.observations[lowest].epoch
        ax.plot([epoch], [series.values[lowest]], "D", color=BLUE, ms=10, mec="white", gid="lowest", zorder=4)
        limit = series.values[lowest] + RISE * abs(series.values[lowest])
        after = [number for number, observed in enumerate(epochs) if observed >= epoch]
        ax.fill_between(
            [epochs[number] for number in after],
            limit,
            [max(values[number], limit) if math.isfinite(values[number]) else limit for number in after],
            color=VERMILION,
            alpha=0.45,
            lw=0,
        )
    if advice is not None and advice.best_epoch is not None:
        ax.axvline(advice.best_epoch, color=GREEN, lw=2.0, ls=":", gid="best", zorder=2)
    if advice is not None and advice.stop_epoch is not None:
        ax.axvline(advice.stop_epoch, color=GREEN, lw=2.4, ls="--", gid="stop", zorder=2)
