"""How an observation and a lens show themselves, at a prompt, in a notebook and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from lightning_factorlens.loggers.tables import epoch_line, format_table, layer_table
from lightning_factorlens.results import LayerInfo, Observation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("rank", "rel. error", "SVD floor", "rmse")


def observation_text(observation: Observation) -> str:
    """A line of summaries, a row a rank, and the notes; plain ASCII as far as the notes are."""
    lines = [f"Observation of {epoch_line(observation, ranks=())}", *format_table(HEADER, _rows(observation))]
    return "\n".join([*lines, *(f"- {note}" for note in observation.notes)])


def observation_html(observation: Observation) -> str:
    """The same as a small table for notebooks."""
    title = escape(f"Observation of {epoch_line(observation, ranks=())}")
    notes = "".join(f"<br><small>{escape(note)}</small>" for note in observation.notes)
    return f"<div><b>{title}</b>{_table(HEADER, _rows(observation))}{notes}</div>"


def plot(observation: Observation) -> Figure:
    """See ``Observation.plot``."""
    from lightning_factorlens.plots.observation import observation_figure

    return observation_figure(observation)


def lens_text(model: str, ranks: Sequence[int], choices: Sequence[LayerInfo]) -> str:
    """What a lens looks at; the table of layers once they have been chosen.

    Args:
        model: The model's class.
        ranks: Of the factorisation.
        choices: The lens's; empty before its first look.
    """
    return "\n".join([_lens_title(model, ranks, choices), *([layer_table(choices)] if choices else [])])


def lens_html(model: str, ranks: Sequence[int], choices: Sequence[LayerInfo]) -> str:
    """The same for notebooks."""
    table = f"<pre>{escape(layer_table(choices))}</pre>" if choices else ""
    return f"<div><b>{escape(_lens_title(model, ranks, choices))}</b>{table}</div>"


def _lens_title(model: str, ranks: Sequence[int], choices: Sequence[LayerInfo]) -> str:
    told = "" if choices else "; layers are chosen at the first look"
    return f"FactorLens on {model}, ranks {', '.join(map(str, ranks))}{told}"


def _rows(o: Observation) -> list[tuple[str, ...]]:
    if "total" not in o.curves:
        return []
    curve = o.curves["total"]
    floor = dict(zip(o.svd_curves["total"].ranks, o.svd_curves["total"].rel_error)) if "total" in o.svd_curves else {}
    cells = zip(curve.ranks, curve.rel_error, curve.rmse)
    return [(str(r), f"{error:.4f}", _number(floor.get(r)), f"{rmse:.4g}") for r, error, rmse in cells]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
