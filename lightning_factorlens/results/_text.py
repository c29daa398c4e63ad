"""How observations and tables of layers read at a prompt, in a terminal and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from lightning_factorlens.results.curves import RankCurves
from lightning_factorlens.results.layers import LayerInfo
from lightning_factorlens.results.record import Record

#: Longest name and longest operation that are printed whole.
MAX_NAME, MAX_OP = 40, 24
#: Columns of the table of errors.
ERROR_HEADER = ("rank", "rel. error", "SVD error", "rmse")


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    r"""A header, a rule and the rows: the first column aligned to the left, the others to the right.

    Example:
        >>> print("\n".join(format_table(("", "first"), [("consistency", "2.3")])))
                     first
        -----------  -----
        consistency    2.3
    """
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    rule = ["-" * width for width in widths]
    lines = []
    for row in (header, rule, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return lines


def format_number(value: float | None, missing: str = "-") -> str:
    """Four digits, or ``missing`` for None, NaN and infinity."""
    if value is None or not math.isfinite(value):
        return missing
    return f"{value:.4g}"


def shorten(name: str, width: int) -> str:
    """``name`` in at most ``width`` characters; its middle is left out, since both ends distinguish layers.

    Example:
        >>> shorten("layer1.0.conv1.weight", 12)
        'laye...eight'
    """
    if len(name) <= width:
        return name
    head = (width - 3) // 2
    tail = width - 3 - head
    return f"{name[:head]}...{name[len(name) - tail :]}"


def layer_table(layers: Sequence[LayerInfo]) -> str:
    """The tensors of the forward pass as a table in plain ASCII: which are factorised, which are not, and why.

    Args:
        layers: One entry for each tensor; selected ones are listed first, otherwise the order is kept.

    Returns:
        Aligned lines; the last one counts the selected tensors and their features for one sample.
    """
    header = ("", "name", "op", "shape", "min", "", "reason")
    rows = [_layer_row(layer) for layer in sorted(layers, key=lambda layer: not layer.selected)]
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    rule = tuple("-" * width for width in widths)
    lines = [_align_layer_row(row, widths) for row in (header, rule, *rows)]
    selected = [layer for layer in layers if layer.selected]
    features = sum(math.prod(layer.shape) for layer in selected)
    lines.append(f"kept {len(selected)} of {len(layers)} tensors, {features:,} features a sample")
    return "\n".join(lines)


def lens_text(model: str, ranks: Sequence[int], layers: Sequence[LayerInfo]) -> str:
    """What a lens observes, with the table of layers once they have been selected.

    Args:
        model: Name of the model's class.
        ranks: Ranks of the factorisation.
        layers: The lens's table of layers; empty before the first observation.
    """
    title = _lens_title(model, ranks, layers)
    return f"{title}\n{layer_table(layers)}" if layers else title


def lens_html(model: str, ranks: Sequence[int], layers: Sequence[LayerInfo]) -> str:
    """The text of `lens_text` as HTML for notebooks."""
    table = f"<pre>{escape(layer_table(layers))}</pre>" if layers else ""
    return f"<div><b>{escape(_lens_title(model, ranks, layers))}</b>{table}</div>"


def observation_text(epoch: int, records: Mapping[str, Record], notes: Sequence[str]) -> str:
    """An observation as one line of scalars, one row for each rank, and the notes.

    Args:
        epoch: Number of finished epochs.
        records: Record by name of the measurement.
        notes: What readers must know.

    Returns:
        Plain ASCII except for the notes.
    """
    lines = [_observation_title(epoch, records)]
    rows = _error_rows(records)
    if rows:
        lines += format_table(ERROR_HEADER, rows)
    lines += [f"- {note}" for note in notes]
    return "\n".join(lines)


def observation_html(epoch: int, records: Mapping[str, Record], notes: Sequence[str]) -> str:
    """The text of `observation_text` as a small HTML table for notebooks."""
    title = escape(_observation_title(epoch, records))
    table = _html_table(ERROR_HEADER, _error_rows(records))
    note_lines = "".join(f"<br><small>{escape(note)}</small>" for note in notes)
    return f"<div><b>{title}</b>{table}{note_lines}</div>"


def _observation_title(epoch: int, records: Mapping[str, Record]) -> str:
    """The scalars of the whole observation, e.g. ``Observation of epoch 3 | consistency 0.4375``."""
    parts = [f"Observation of epoch {epoch}"]
    for record in records.values():
        for value in record.values():
            is_whole = value.scope in (None, "total") and value.rank is None
            if is_whole and math.isfinite(value.value):
                name = "total seconds" if value.quantity == "seconds" else value.quantity
                parts.append(f"{name} {value.value:.4g}")
    return " | ".join(parts)


def _error_rows(records: Mapping[str, Record]) -> list[tuple[str, ...]]:
    errors = records.get("reconstruction_error")
    if not isinstance(errors, RankCurves) or "total" not in errors.curves:
        return []
    curve = errors["total"]
    svd = records.get("svd_error")
    svd_by_rank: dict[int, float] = {}
    if isinstance(svd, RankCurves) and "total" in svd.curves:
        svd_by_rank = dict(zip(svd["total"].ranks, svd["total"].rel_error))
    rows: list[tuple[str, ...]] = []
    for rank, error, rmse in zip(curve.ranks, curve.rel_error, curve.rmse):
        svd_error = f"{svd_by_rank[rank]:.4f}" if rank in svd_by_rank else "-"
        rows.append((str(rank), f"{error:.4f}", svd_error, f"{rmse:.4g}"))
    return rows


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = ""
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        body += f"<tr>{cells}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _lens_title(model: str, ranks: Sequence[int], layers: Sequence[LayerInfo]) -> str:
    pending = "" if layers else "; layers are selected at the first observation"
    return f"FactorLens on {model}, ranks {', '.join(map(str, ranks))}{pending}"


def _layer_row(layer: LayerInfo) -> tuple[str, ...]:
    return (
        "*" if layer.selected else "",
        shorten(layer.name, MAX_NAME),
        shorten(layer.op, MAX_OP),
        "x".join(map(str, layer.shape)) or "scalar",
        f"{layer.minimum:.3g}",
        "kept" if layer.selected else "skipped",
        layer.reason,
    )


def _align_layer_row(row: Sequence[str], widths: Sequence[int]) -> str:
    """Numbers to the right, words to the left."""
    cells = [cell.ljust(width) for cell, width in zip(row, widths)]
    cells[4] = row[4].rjust(widths[4])
    return "  ".join(cells).rstrip()
