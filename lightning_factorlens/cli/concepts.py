"""``factorlens concepts``: what the factors of a checkpoint's activations mean."""

from __future__ import annotations

from typing import Any

from lightning_factorlens.cli.arguments import (
    add_json,
    add_lens_arguments,
    lens_of,
    make_samples,
    print_json,
    run_lens,
    save_figure,
)
from lightning_factorlens.cli.command import Command
from lightning_factorlens.cli.table import print_table
from lightning_factorlens.concepts import concept_page
from lightning_factorlens.results import ConceptCard


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    add_lens_arguments(parser)
    parser.add_argument("--rank", type=int, default=10, help="number of concepts")
    add_json(parser)
    parser.add_argument("--output", type=str, default=None, help="picture (.png, .svg, .pdf) of the concepts")


def _run(words: Any) -> None:
    """Runs the command."""
    lens = lens_of(words)
    concepts = run_lens(lens.concepts, make_samples(words), rank=words.rank)
    page = concept_page(concepts)
    if words.output is not None:
        from lightning_factorlens.plots import concept_sheet_figure

        save_figure(concept_sheet_figure(page), words.output, "the inputs are no images")
    rows = [_row(card) for card in page.cards]
    if words.json:
        print_json(rows)
    else:
        print(concepts)
        print_table(rows)


def _row(card: ConceptCard) -> dict[str, Any]:
    """What a concept is, in numbers."""
    return {
        "concept": card.number,
        "name": None if card.name is None else str(card.name),
        "score": card.score,
        "clarity": card.clarity,
        "agreement": card.agreement,
        "top_images": card.top_images.tolist(),
    }


COMMAND = Command(
    "concepts",
    "Finds what images, pixels and neurons have in common.",
    "factorlens concepts last.ckpt --model train.py:Net --data photos --size 224 --rank 10 --output concepts.png",
    _add_arguments,
    _run,
)
