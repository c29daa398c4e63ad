"""Texts for TensorBoard's page "Text" and other loggers: a guide to curves and figures, and a summary of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.loggers.figure_schedule import numbered_figures
from lightning_factorlens.loggers.tags import PREFIX, TaggedValue, summary_values, with_cost
from lightning_factorlens.measurements import Measurement, Scalar
from lightning_factorlens.results import Observation
from lightning_factorlens.results._text import format_number

INTRODUCTION = (
    "A fixed probe of unlabeled images goes through the network. Inputs and activations of all layers are written "
    "together as a sum of a few non-negative components: each has a latent image at the input, neurons in every layer, "
    "and a load on every probe image. No label is used. *Demo* is `examples/digits.py`: 600 handwritten digits, 40 % "
    "of their labels drawn at random, 30 epochs (`--compare`)."
)
#: The projector shows F itself and is therefore not declared by a measurement.
PROJECTOR = (
    "Projector",
    "Every probe image as a point, by its loads on the components; colour it by its strongest component.",
)
#: Cell of a table where an observation has no value.
MISSING = "–"


def metric_guide(
    measurements: Sequence[Measurement], extra_scalars: Sequence[Scalar] = (), prefix: str = PREFIX
) -> str:
    """A guide to all scalars and figures, from the declarations of the measurements.

    Args:
        measurements: The lens's measurements.
        extra_scalars: Scalars that other callbacks log under the same prefix.
        prefix: First part of the tags.

    Returns:
        The guide, in Markdown.
    """
    figures = []
    for name, figure in numbered_figures(measurements).items():
        figures.append((f"`{name}`", figure.help))
    parts = [
        "### How to read this",
        INTRODUCTION,
        _guide_table(_declared_scalars(measurements, extra_scalars), prefix),
        markdown_table(("figure", "how to read it"), [*figures, PROJECTOR]),
    ]
    return "\n\n".join(parts)


def tag_table(measurements: Sequence[Measurement], extra_scalars: Sequence[Scalar] = (), prefix: str = PREFIX) -> str:
    """A table of all declared tags with their meaning.

    Args:
        measurements: The lens's measurements.
        extra_scalars: Scalars that other callbacks log under the same prefix.
        prefix: First part of the tags.

    Returns:
        The table, in Markdown.
    """
    rows = []
    for scalar in _declared_scalars(measurements, extra_scalars):
        rows.append((*_guide_row(scalar, prefix), scalar.detail))
    return markdown_table(("tag", "what it is", "unit", "better", "monitor", "how to read it", "detail"), rows)


def _declared_scalars(measurements: Sequence[Measurement], extra_scalars: Sequence[Scalar]) -> list[Scalar]:
    """The scalars of the measurements and of the cost, then those of other callbacks."""
    scalars: list[Scalar] = []
    for measurement in with_cost(measurements):
        scalars += measurement.scalars
    return [*scalars, *extra_scalars]


def _guide_table(scalars: Sequence[Scalar], prefix: str) -> str:
    """The table of tags in three columns, because a page of TensorBoard has no room for more."""
    rows = []
    for scalar in scalars:
        meaning = scalar.help
        if scalar.unit:
            meaning += f" Unit: {scalar.unit}."
        if scalar.better is not None:
            meaning += f" {scalar.better.capitalize()} is better."
        reading = scalar.reading.replace("{prefix}", prefix)
        rows.append((f"`{documented_tag(scalar, prefix)}`", meaning, reading))
    return markdown_table(("tag", "what it is", "how to read it"), rows)


def tag_list(measurements: Sequence[Measurement], prefix: str = PREFIX) -> str:
    """A list of all declared tags with their meaning, for a class docstring.

    Args:
        measurements: The lens's measurements.
        prefix: First part of the tags.

    Returns:
        One indented line for each tag.
    """
    lines = []
    for measurement in with_cost(measurements):
        for scalar in measurement.scalars:
            lines.append(f"    - ``{documented_tag(scalar, prefix)}``: {scalar.help}")
    return "\n".join(lines)


def documented_tag(scalar: Scalar, prefix: str = PREFIX) -> str:
    """The tag as documentation shows it: ``<name>`` for a scope, ``r`` for a rank.

    Args:
        scalar: A declaration.
        prefix: First part of the tag.

    Example:
        >>> documented_tag(Scalar("rms", "{prefix}_layers/{scope}/rms", "Root mean square."))
        'factorlens_layers/<name>/rms'
    """
    return scalar.tag.format(prefix=prefix, scope="<name>", rank="r")


def _guide_row(scalar: Scalar, prefix: str) -> tuple[str, ...]:
    tag = documented_tag(scalar, prefix)
    reading = scalar.reading.replace("{prefix}", prefix)
    monitored = "yes" if scalar.monitored else ""
    return (f"`{tag}`", scalar.help, scalar.unit, scalar.better or "", monitored, reading)


def best_observation(history: Sequence[Observation], measurements: Sequence[Measurement]) -> Observation | None:
    """Finds the observation at which the leading scalar was best: the first summary scalar with a better direction.

    The observation before training does not count: an untrained network agrees with itself, and no callback can stop or
    save a checkpoint there.

    Args:
        history: The observations of one run, oldest first.
        measurements: The lens's measurements.

    Returns:
        The first of the best ones, or None where that scalar was never measured after training began.
    """
    scalar = _leading_scalar(measurements)
    if scalar is None:
        return None
    best = None
    best_value = math.inf
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
    columns = {"first": history[0]}
    if best is not None:
        columns["best"] = best
    columns["last"] = history[-1]
    titles = []
    rows: dict[str, list[str]] = {}
    for index, (name, observation) in enumerate(columns.items()):
        titles.append(f"{name}, epoch {observation.epoch}")
        for tag, cell in _summary_cells(observation, measurements, prefix).items():
            row = rows.setdefault(tag, [MISSING] * len(columns))
            row[index] = cell
    return titles, rows


def _summary_cells(observation: Observation, measurements: Sequence[Measurement], prefix: str) -> dict[str, str]:
    """Cell by tag."""
    cells = {}
    for tag, entry in summary_values(observation, measurements, prefix).items():
        cells[tag] = lower_bound_sign(observation, entry) + format_number(entry.value.value)
    return cells


def lower_bound_sign(observation: Observation, entry: TaggedValue) -> str:
    """The sign to write before a number that is only a lower bound.

    Args:
        observation: The observation that the number belongs to.
        entry: The number and its declaration.

    Returns:
        ``"> "`` for a lower bound, else an empty string.
    """
    name = entry.scalar.lower_bound
    if name and observation.value(name, entry.value.scope) == 1.0:
        return "> "
    return ""


def run_summary(history: Sequence[Observation], measurements: Sequence[Measurement], prefix: str = PREFIX) -> str:
    """The summary of a run: its first, best and last observation side by side, and the notes of the last one.

    Args:
        history: The observations of one run, oldest first, at least one.
        measurements: The lens's measurements.
        prefix: First part of the tags.

    Returns:
        The summary, in Markdown.
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
    cells = []
    for tag, row in rows.items():
        cells.append((f"`{tag}`", *row))
    parts.append(markdown_table(("", *titles), cells))
    if last.notes:
        parts.append("\n".join(f"- {note}" for note in last.notes))
    return "\n\n".join(parts)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table in Markdown; bars inside cells are escaped.

    Args:
        header: The titles of the columns.
        rows: The cells of each row.

    Example:
        >>> print(markdown_table(("a", "b"), [("1", "x|y")]))
        | a | b |
        | --- | --- |
        | 1 | x\|y |
    """
    lines = []
    for row in (header, ["---"] * len(header), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
