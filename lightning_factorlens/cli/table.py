"""Rows as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_factorlens.cli.errors import CommandError


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints rows, as wide as the terminal, or whole where the output is no terminal.

    Args:
        rows: Values by column; columns in which no row has a value are left out.

    Raises:
        CommandError: rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError as error:
        raise CommandError("tables need rich: pip install 'lightning-factorlens[cli]', or pass --json.") from error
    columns = _filled_columns(rows)
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # nothing is wrapped, so that other programs can read the lines
    console.print(table)


def _filled_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    filled: dict[str, None] = {}
    for row in rows:
        for column, value in row.items():
            if value not in (None, "", ()):
                filled[column] = None
    return list(filled)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
