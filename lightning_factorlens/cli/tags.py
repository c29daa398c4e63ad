"""``factorlens tags``: what is logged, and what it means."""

from __future__ import annotations

from typing import Any

from lightning_factorlens.cli.arguments import add_json, print_json
from lightning_factorlens.cli.command import Command
from lightning_factorlens.cli.table import print_table
from lightning_factorlens.measurements import default_measurements


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    add_json(parser)


def _run(words: Any) -> None:
    """Runs the command."""
    from lightning_factorlens.loggers.text_reports import documented_tag

    rows = []
    for measurement in default_measurements():
        for scalar in measurement.scalars:
            rows.append({"tag": documented_tag(scalar), "unit": scalar.unit, "meaning": scalar.help})
    if words.json:
        print_json(rows)
    else:
        print_table(rows)


COMMAND = Command(
    "tags",
    "Lists every scalar that the callback logs, and what it means.",
    "factorlens tags",
    _add_arguments,
    _run,
)
