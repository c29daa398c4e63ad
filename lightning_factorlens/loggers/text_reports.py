"""The guide to curves and figures, for TensorBoard's page "Text", other loggers and the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.loggers.best_values import best_scalars
from lightning_factorlens.loggers.figure_schedule import numbered_figures
from lightning_factorlens.loggers.tags import PREFIX, with_cost
from lightning_factorlens.measurements import Measurement, Scalar

INTRODUCTION = (
    "A fixed probe of unlabelled images goes through the network. Inputs and activations of all layers are written "
    "together as a sum of a few non-negative components: each has a latent image at the input, neurons in every layer, "
    "and a load on every probe image. No label is used. TensorBoard's x axis is in steps; texts name the epoch and "
    "the step."
)
#: The projector shows F itself and is therefore not declared by a measurement.
PROJECTOR = (
    "- Projector: every probe image as a point, by its loads on the components; colour it by its strongest component."
)


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
    scalars = _declared_scalars(measurements, extra_scalars)
    main_group = [scalar for scalar in scalars if scalar.tag.startswith("{prefix}/")]
    others = [scalar for scalar in scalars if not scalar.tag.startswith("{prefix}/")]
    figures = [f"- `{name}`: {figure.help}" for name, figure in numbered_figures(measurements).items()]
    parts = [
        "### How to read this",
        INTRODUCTION,
        f"#### The main scalars, `{prefix}/...`",
        _guide_list(main_group, prefix),
        "#### Figures",
        "\n".join([*figures, PROJECTOR]),
        "#### All other scalars",
        _guide_list(others, prefix),
    ]
    return "\n\n".join(parts)


def help_tag(prefix: str = PREFIX) -> str:
    """The tag of the guide, in a group that TensorBoard's page "Text" shows below that of the results.

    TensorBoard sorts these groups by their first tags, in which it takes ``/`` and ``_`` for equal: the letter after it
    must come after that of ``result``.

    Args:
        prefix: First part of the tags.

    Example:
        >>> help_tag("student")
        'student_usage/how_to_read'
    """
    return f"{prefix}_usage/how_to_read"


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
    """The scalars of the measurements and of the cost, those of other callbacks, and the best values."""
    scalars: list[Scalar] = []
    for measurement in with_cost(measurements):
        scalars += measurement.scalars
    return [*scalars, *extra_scalars, *best_scalars(measurements)]


def _guide_list(scalars: Sequence[Scalar], prefix: str) -> str:
    """The tags as a list, because TensorBoard breaks them within words in the narrow columns of a table."""
    lines = []
    for scalar in scalars:
        line = f"- `{documented_tag(scalar, prefix)}`: {_with_prefix(scalar.help, prefix)}"
        if scalar.unit:
            line += f" Unit: {scalar.unit}."
        if scalar.better is not None:
            line += f" {scalar.better.capitalize()} is better."
        if scalar.reading:
            line += f" {_with_prefix(scalar.reading, prefix)}"
        lines.append(line)
    return "\n".join(lines)


def _with_prefix(text: str, prefix: str) -> str:
    return text.replace("{prefix}", prefix)


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
    reading = _with_prefix(scalar.reading, prefix)
    monitored = "yes" if scalar.monitored else ""
    return (f"`{tag}`", _with_prefix(scalar.help, prefix), scalar.unit, scalar.better or "", monitored, reading)


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
