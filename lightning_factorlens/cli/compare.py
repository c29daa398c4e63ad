"""``factorlens compare``: two checkpoints of one model on the same samples."""

from __future__ import annotations

import math
from typing import Any

from lightning_factorlens.cli.arguments import (
    add_data,
    add_json,
    add_lens,
    add_model_options,
    make_lens,
    make_samples,
    print_json,
    run_lens,
)
from lightning_factorlens.cli.command import Command
from lightning_factorlens.cli.model_source import load_model
from lightning_factorlens.cli.table import print_table
from lightning_factorlens.concepts import ConceptComparison, compare_concepts
from lightning_factorlens.results import Concepts, Observation


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    parser.add_argument("first", type=str, help="a checkpoint")
    parser.add_argument("second", type=str, help="another checkpoint of the same model")
    add_model_options(parser)
    add_data(parser)
    add_lens(parser)
    parser.add_argument("--rank", type=int, default=10, help="number of concepts")
    add_json(parser)


def _run(words: Any) -> None:
    """Runs the command."""
    first, second, comparison = run_lens(_compare, words)
    rows = _rows(first, second)
    if words.json:
        print_json({"values": rows, "concepts_in_both": [list(pair) for pair in comparison.pairs]})
    else:
        print_table(rows)
        print(comparison)


def _compare(words: Any) -> tuple[Observation, Observation, ConceptComparison]:
    observations: list[Observation] = []
    concepts: list[Concepts] = []
    samples = make_samples(words)
    for checkpoint in (words.first, words.second):
        lens = make_lens(words, load_model(words.model, words.model_args, checkpoint))
        samples = lens.draw(samples)
        observations.append(lens.observe(samples))
        concepts.append(lens.concepts(samples, rank=words.rank))
    return observations[0], observations[1], compare_concepts(concepts[0], concepts[1])


def _rows(first: Observation, second: Observation) -> list[dict[str, Any]]:
    """Every number that both observations have, except times."""
    rows = []
    for value in first.values():
        other = second.get_value(value.quantity, value.scope, value.rank)
        if other is None or value.quantity == "seconds":
            continue
        if not (math.isnan(value.value) and math.isnan(other)):
            row = {"quantity": value.quantity, "scope": value.scope, "rank": value.rank}
            rows.append({**row, "first": value.value, "second": other})
    return rows


COMMAND = Command(
    "compare",
    "Shows the numbers of two checkpoints beside each other, and which concepts they share.",
    "factorlens compare epoch=1.ckpt epoch=9.ckpt --model train.py:Net --data photos --size 64",
    _add_arguments,
    _run,
)
