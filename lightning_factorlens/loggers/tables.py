"""Plain text for any terminal: one observation in one line, and the summary of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.loggers.best_of_run import best_of_run
from lightning_factorlens.loggers.run_cost import seconds_by_activity
from lightning_factorlens.loggers.run_summary import findings_of, lower_bound_sign, summary_rows
from lightning_factorlens.loggers.tags import PREFIX, summary_values
from lightning_factorlens.measurements import Measurement
from lightning_factorlens.results import Cost, Observation
from lightning_factorlens.results._text import format_table
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.results.leading_scalar import position

#: Largest number of rows in the table at the end of a run.
MAX_ROWS = 6


def epoch_line(observation: Observation, measurements: Sequence[Measurement]) -> str:
    """The summary scalars of an observation in one line, without those that it does not have.

    Args:
        observation: The observation.
        measurements: The measurements that made it.

    Returns:
        A line such as ``epoch 3 | consistency 0.4375 | rank_at_30pct > 32 | … | 0.52 s (1.3 % of the time)``.
    """
    parts = [f"epoch {observation.epoch}"]
    for tag, entry in summary_values(observation, measurements, PREFIX).items():
        if entry.value.quantity != "seconds":
            name = tag.split("/", 1)[1]
            sign = lower_bound_sign(observation, entry)
            parts.append(f"{name} {sign}{entry.value.value:.4g}")
    cost: Cost | None = observation.get("cost")
    if cost is not None and "total" in cost.seconds:
        text = f"{cost.seconds['total']:.2f} s"
        if cost.overhead is not None:
            text += f" ({100 * cost.overhead:.1f} % of the time)"
        parts.append(text)
    return " | ".join(parts)


def run_table(
    history: Sequence[Observation],
    measurements: Sequence[Measurement],
    prefix: str = PREFIX,
    max_rows: int = MAX_ROWS,
    advice: StopAdvice | None = None,
) -> str:
    """The summary of a run in aligned columns: its first, best and last observation; see `summary_rows`.

    Args:
        history: The observations of one run, oldest first, at least one.
        measurements: The lens's measurements.
        prefix: First part of the tags.
        max_rows: Largest number of rows. Where there are more, the last rows of the measurement that has the most of
            them are left out.
        advice: The decision of a stopping rule, where there is one.

    Returns:
        The lines of the table, in plain ASCII.
    """
    columns, rows = summary_rows(history, measurements, prefix, advice)
    titles = [f"{name}, {position(observation)}" for name, observation in columns.items()]
    owners: dict[str, str] = {}
    for observation in history:
        for tag, entry in summary_values(observation, measurements, prefix).items():
            owners[tag] = entry.measurement
    cells = []
    for tag in _limit_rows(list(rows), owners, max_rows):
        cells.append((tag, *rows[tag]))
    return "\n".join(format_table(("", *titles), cells)).replace("–", "-")


def _limit_rows(tags: list[str], owners: Mapping[str, str], max_rows: int) -> list[str]:
    """At most ``max_rows`` of the tags, in their order."""
    while len(tags) > max_rows:
        counts = Counter(map(owners.__getitem__, tags))
        largest, _ = counts.most_common(1)[0]
        last = ""
        for tag in tags:
            if owners[tag] == largest:
                last = tag
        tags.remove(last)
    return tags


def run_report(
    history: Sequence[Observation],
    measurements: Sequence[Measurement],
    prefix: str,
    cost: str,
    advice: StopAdvice | None = None,
) -> str:
    """What is printed at the end of a run: what it says in words, its summary and the cost of its observations.

    Args:
        history: The observations of one run, oldest first.
        measurements: The lens's measurements.
        prefix: First part of the tags.
        cost: From `cost_line`.
        advice: The decision of a stopping rule, where there is one.

    Returns:
        Plain text of at most `MAX_ROWS` + 7 lines.
    """
    if not history:
        return cost
    best = best_of_run(history, measurements, prefix, advice)
    explained = "" if best is None else f" (best: {best.criterion})"
    lines = [f"FactorLens, summary of the run{explained}:"]
    for finding in findings_of(history, measurements, prefix, advice).all:
        lines.append(str(finding))
    return "\n".join([*lines, run_table(history, measurements, prefix, advice=advice), cost])


def cost_line(
    n_measured: int, n_full: int, n_failed: int, budget: OverheadBudget, measurements: Sequence[Measurement]
) -> str:
    """The cost of the observations of a run, and where the time went, in one sentence.

    Args:
        n_measured: Number of observations.
        n_full: Number of those that were made in full.
        n_failed: Number of failed ones.
        budget: The budget of the run, which has counted the seconds.
        measurements: The lens's measurements.

    Returns:
        A line such as ``FactorLens: 31 observations (6 full) in 1.3 s, 11.8 % of the time: factorisation 0.5 s, figures
        0.4 s, forward passes 0.3 s, other 0.1 s.``
    """
    noun = "observation" if n_measured == 1 else "observations"
    full = "" if n_full == n_measured else f" ({n_full} full)"
    share = f"{100 * budget.overhead:.1f} % of the time"
    text = f"FactorLens: {n_measured} {noun}{full} in {budget.total_seconds:.1f} s, {share}"
    parts = []
    for name, seconds in seconds_by_activity(budget.phases, budget.total_seconds, measurements).items():
        parts.append(f"{name} {seconds:.1f} s")
    if parts:
        text += f": {', '.join(parts)}"
    if n_failed:
        text += f"; {n_failed} failed"
    return f"{text}."
