"""Observations as text, for a prompt, a terminal and a notebook, and tables of aligned columns."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from lightning_factorlens.results.curves import RankCurves
from lightning_factorlens.results.record import Record

#: Columns of the table of errors.
ERROR_HEADER = ("rank", "rel. error", "SVD error", "rmse")
#: Largest number of columns of a table of observations, besides epoch and step.
MAX_COLUMNS = 8
#: End of the name of a number that is 1 where another one is only a lower bound.
LOWER_BOUND_SUFFIX = "_is_lower_bound"


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    r"""A header, a rule and the rows: the first column aligned to the left, the others to the right.

    Args:
        header: Titles of the columns.
        rows: Cells of each row.

    Returns:
        One string for each line.

    Example:
        >>> print("\n".join(format_table(("", "first"), [("consistency", "2.3")])))
                     first
        -----------  -----
        consistency    2.3
    """
    return align_table(header, rows, right=range(1, len(header)))


def align_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """A header, a rule and the rows, with columns on either side.

    Args:
        header: Titles of the columns.
        rows: Cells of each row.
        right: The columns that are aligned to the right; all others are to the left.

    Returns:
        One string for each line, without spaces at its end.
    """
    widths = []
    rule = []
    for column in zip(header, *rows):
        width = max(map(len, column))
        widths.append(width)
        rule.append("-" * width)
    lines = []
    for row in (header, rule, *rows):
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths)):
            if index in right:
                cells.append(cell.rjust(width))
            else:
                cells.append(cell.ljust(width))
        lines.append("  ".join(cells).rstrip())
    return lines


def format_number(value: float | None, missing: str = "-") -> str:
    """A number with four digits.

    Args:
        value: The number.
        missing: The text for None, NaN and infinity.

    Example:
        >>> format_number(0.123456), format_number(None)
        ('0.1235', '-')
    """
    if value is None or not math.isfinite(value):
        return missing
    return f"{value:.4g}"


def shorten(name: str, width: int) -> str:
    """Shortens a name by leaving out its middle, since both ends distinguish layers.

    Args:
        name: The name.
        width: Largest number of characters, above 3.

    Example:
        >>> shorten("layer1.0.conv1.weight", 12)
        'laye...eight'
    """
    if len(name) <= width:
        return name
    head = (width - 3) // 2
    tail = width - 3 - head
    return f"{name[:head]}...{name[len(name) - tail :]}"


def observation_text(epoch: int, records: Mapping[str, Record], notes: Sequence[str]) -> str:
    """An observation as one line of scalars, one row for each rank, and the notes.

    Args:
        epoch: Number of finished epochs.
        records: Record by name of the measurement.
        notes: The observation's notes.

    Returns:
        Plain ASCII except for the notes.
    """
    lines = [_observation_title(epoch, records)]
    rows = _error_rows(records)
    if rows:
        lines += format_table(ERROR_HEADER, rows)
    for note in notes:
        lines.append(f"- {note}")
    return "\n".join(lines)


def observation_html(epoch: int, records: Mapping[str, Record], notes: Sequence[str]) -> str:
    """The text of `observation_text` as a small HTML table for notebooks."""
    title = escape(_observation_title(epoch, records))
    table = html_table(ERROR_HEADER, _error_rows(records))
    note_lines = ""
    for note in notes:
        note_lines += f"<br><small>{escape(note)}</small>"
    return f"<div><b>{title}</b>{table}{note_lines}</div>"


def history_html(observations: Sequence[Any], n_observations: int) -> str:
    """A table of observations for notebooks, one column for each number of the whole network.

    Args:
        observations: Those that are shown, oldest first.
        n_observations: Number of all observations.
    """
    rows = []
    for observation in observations:
        numbers: dict[str, float] = {}
        for record in observation.records.values():
            numbers.update(_whole_numbers(record))
        rows.append((observation.epoch, observation.step, numbers))
    names = list(dict.fromkeys(name for _, _, numbers in rows for name in numbers))
    names = [name for name in names if not name.endswith(LOWER_BOUND_SUFFIX)][:MAX_COLUMNS]
    cells = []
    for epoch, step, numbers in rows:
        cells.append((str(epoch), str(step), *(format_number(numbers.get(name)) for name in names)))
    title = "1 observation" if n_observations == 1 else f"{n_observations} observations"
    if len(rows) < n_observations:
        title += f", the last {len(rows)}"
    return f"<div><b>{title}</b>{html_table(('epoch', 'step', *names), cells)}</div>"


def _observation_title(epoch: int, records: Mapping[str, Record]) -> str:
    """The scalars of the whole observation, e.g. ``Observation of epoch 3 | consistency 0.4375``."""
    parts = [f"Observation of epoch {epoch}"]
    for record in records.values():
        numbers = _whole_numbers(record)
        for name, number in numbers.items():
            if name.removesuffix(LOWER_BOUND_SUFFIX) in numbers and name.endswith(LOWER_BOUND_SUFFIX):
                continue
            sign = "> " if numbers.get(f"{name}{LOWER_BOUND_SUFFIX}") == 1.0 else ""
            parts.append(f"{name} {sign}{number:.4g}")
    return " | ".join(parts)


def _whole_numbers(record: Record) -> dict[str, float]:
    """The finite numbers of a record that belong to the whole observation, by name."""
    numbers = {}
    for value in record.values():
        is_whole = value.scope in (None, "total") and value.rank is None
        if is_whole and math.isfinite(value.value):
            name = "total seconds" if value.quantity == "seconds" else value.quantity
            numbers[name] = value.value
    return numbers


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


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for notebooks, with its texts escaped.

    Args:
        header: Titles of the columns.
        rows: Cells of each row.
    """
    body = ""
    for row in rows:
        body += _html_row(row, "td")
    return f"<table><thead>{_html_row(header, 'th')}</thead><tbody>{body}</tbody></table>"


def _html_row(cells: Sequence[str], element: str) -> str:
    row = ""
    for cell in cells:
        row += f"<{element}>{escape(cell)}</{element}>"
    return f"<tr>{row}</tr>"
