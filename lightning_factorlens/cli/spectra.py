"""``factorlens spectra``: the power law of every weight of a checkpoint; no data are needed."""

from __future__ import annotations

from typing import Any

from lightning_factorlens.cli.arguments import add_json, add_model, make_model, print_json
from lightning_factorlens.cli.command import Command
from lightning_factorlens.cli.table import print_table
from lightning_factorlens.spectra import layer_spectra
from lightning_factorlens.spectra.table import spectra_rows

#: Columns of the table; JSON has all of them.
COLUMNS = ("layer", "shape", "alpha", "alpha_low", "alpha_high", "n_tail", "stable_rank", "log_lambda_max", "reason")


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    add_model(parser)
    add_json(parser)


def _run(words: Any) -> None:
    """Runs the command."""
    rows = spectra_rows(layer_spectra(make_model(words)))
    if words.json:
        print_json(rows)
    else:
        print_table([{column: row.get(column) for column in COLUMNS} for row in rows])


COMMAND = Command(
    "spectra",
    "Fits a power law to the singular values of every weight.",
    "factorlens spectra last.ckpt --model train.py:Net",
    _add_arguments,
    _run,
)
