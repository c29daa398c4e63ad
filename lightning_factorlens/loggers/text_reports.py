"""Texts for TensorBoard's page "Text" and its like: how to read every curve and figure, and a summary of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.loggers.figure_schedule import numbered_figures
from lightning_factorlens.loggers.tags import PREFIX, summary_values, with_cost
from lightning_factorlens.measurements import Measurement, Scalar
from lightning_factorlens.results import Observation
from lightning_factorlens.results._text import format_number

INTRODUCTION = (
    "A fixed probe of unlabeled images goes through the network. Inputs and activations of all layers are written "
    "together as a sum of a few non-negative components: each has a latent image at the input, neurons in every layer, "
    "and a load on every probe image. No label is used. *Demo* is `examples/digits.py`: 600 handwritten digits, 40 % "
    "of their labels drawn at random, 30 epochs (`--compare`)."
)
#: The projector is not declared by a measurement: it shows F itself.
PROJECTOR = ("Projector", "Every probe image where the components put it; colour it by its strongest component.")


def metric_guide(
    measurements: Sequence[Measurement], extra_scalars: Sequence[Scalar] = (), prefix: str = PREFIX
) -> str:
    """How to read everything, in Markdown, from the declarations of the measurements.

    Args:
        measurements: The lens's measurements.
        extra_scalars: Scalars that other callbacks log under the same prefix.
        prefix: First part of the tags.
    """
    figures = [(f"`{name}`", figure.help) for name, figure in numbered_figures(measurements).items()]
    parts = [
        "### How to read this",
        INTRODUCTION,
        tag_table(measurements, extra_scalars, prefix),
        markdown_table(("figure", "how to read it"), [*figures, PROJECTOR]),
    ]
    return "\n\n".join(parts)


def tag_table(measurements: Sequence[Measurement], extra_scalars: Sequence[Scalar] = (), prefix: str = PREFIX) -> str:
    """Every declared tag with its meaning, in Markdown; see `metric_guide` for the arguments."""
    rows = []
    for measurement in with_cost(measurements):
        rows += [_guide_row(scalar, prefix) for scalar in measurement.scalars]
    rows += [_guide_row(scalar, prefix) for scalar in extra_scalars]
    return markdown_table(("tag", "what it is", "unit", "better", "monitor", "how to read it"), rows)


def tag_list(measurements: Sequence[Measurement], prefix: str = PREFIX) -> str:
    """Every declared tag with its meaning as an indented list, for a class docstring."""
    lines = []
    for measurement in with_cost(measurements):
        for scalar in measurement.scalars:
            lines.append(f"    - ``{documented_tag(scalar, prefix)}``: {scalar.help}")
    return "\n".join(lines)


def documented_tag(scalar: Scalar, prefix: str = PREFIX) -> str:
    """The tag as documentation shows it: ``<name>`` for a scope, ``r`` for a rank."""
    return scalar.tag.format(prefix=prefix, scope="<name>", rank="r")


def _guide_row(scalar: Scalar, prefix: str) -> tuple[str, ...]:
    tag = documented_tag(scalar, prefix)
    reading = scalar.reading.replace("{prefix}", prefix)
    monitored = "yes" if scalar.monitored else ""
    return (f"`{tag}`", scalar.help, scalar.unit, scalar.better or "", monitored, reading)


def best_observation(history: Sequence[Observation], measurements: Sequence[Measurement]) -> Observation | None:
    """The observation where the first summary scalar that has a better direction was best.

    The observation before training does not count: an untrained network agrees with itself, and no callback can stop or
    save a checkpoint there.

    Args:
        history: The observations of one run, oldest first.
        measurements: The lens's measurements.

    Returns:
        The first of the best ones, or None where that scalar was never measured after training began.
    """
    scalar = _leading_scalar(measurements)
    best = None
    best_value = math.inf
    if scalar is None:
        return None
    sign = 1.0 if scalar.better == "lower" else -1.0
    for observation in history:
        is_trained = observation.epoch > 0 or observation.step > 0
        value = observation.value(scalar.quantity, scalar.scope)
        if is_trained and value is not None and math.isfinite(value) and sign * value < best_value:
            best = observation
            best_value = sign * value
    return best


def _leading_scalar(measurements: Sequence[Measurement]) -> Scalar | None:
    for measurement in measurements:
        for scalar in measurement.scalars:
            if scalar.summary and scalar.better is not None:
                return scalar
    return None


def best_criterion(history: Sequence[Observation], measurements: Sequence[Measurement], prefix: str = PREFIX) -> str:
    """What `best_observation` judges by, such as ``lowest factorlens/consistency``; empty where there is no best."""
    scalar = _leading_scalar(measurements)
    if scalar is None or best_observation(history, measurements) is None:
        return ""
    return f"{'lowest' if scalar.better == 'lower' else 'highest'} {scalar.tag.format(prefix=prefix)}"


def summary_rows(
    history: Sequence[Observation], measurements: Sequence[Measurement], prefix: str = PREFIX
) -> tuple[list[str], dict[str, list[str]]]:
    """The summary scalars of the first, the best and the last observation of a run; without a best, of the two others.

    Args:
        history: The observations of one run, oldest first, at least one.
        measurements: The lens's measurements.
        prefix: First part of the tags.

    Returns:
        The titles of the columns, and their cells by tag.
    """
    best = best_observation(history, measurements)
    columns = [("first", history[0]), ("last", history[-1])]
    if best is not None:
        columns.insert(1, ("best", best))
    titles = [f"{name}, epoch {observation.epoch}" for name, observation in columns]
    by_column = [_summary_cells(observation, measurements, prefix) for _, observation in columns]
    rows: dict[str, list[str]] = {}
    for tag in dict.fromkeys(tag for cells in by_column for tag in cells):
        rows[tag] = [cells.get(tag, "–") for cells in by_column]
    return titles, rows


def _summary_cells(observation: Observation, measurements: Sequence[Measurement], prefix: str) -> dict[str, str]:
    """Cell by tag; a value that is only a lower bound has a sign before it."""
    cells = {}
    for tag, entry in summary_values(observation, measurements, prefix).items():
        is_bound = entry.scalar.lower_bound and observation.value(entry.scalar.lower_bound, entry.value.scope) == 1.0
        cells[tag] = f"{'> ' if is_bound else ''}{format_number(entry.value.value)}"
    return cells


def run_summary(history: Sequence[Observation], measurements: Sequence[Measurement], prefix: str = PREFIX) -> str:
    """The summary of a run in Markdown: its first, best and last observation side by side.

    Args:
        history: The observations of one run, oldest first, at least one.
        measurements: The lens's measurements.
        prefix: First part of the tags.
    """
    titles, rows = summary_rows(history, measurements, prefix)
    parts = ["### Summary of the run"]
    last = history[-1]
    best = best_observation(history, measurements)
    scalar = _leading_scalar(measurements)
    if best is not None and scalar is not None:
        tag = scalar.tag.format(prefix=prefix)
        if last.epoch > best.epoch:
            parts.append(f"`{tag}` was best at epoch {best.epoch}, {last.epoch - best.epoch} epochs before the end.")
        else:
            parts.append(f"`{tag}` was still at its best when the run ended, after epoch {last.epoch}.")
    cells = [(f"`{tag}`", *row) for tag, row in rows.items()]
    parts.append(markdown_table(("", *titles), cells))
    return "\n\n".join(parts)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; bars inside cells are escaped."""
    lines = []
    for row in (header, ["---"] * len(header), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
