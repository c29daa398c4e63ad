"""``factorlens visualize``: pictures that the leading singular vectors of a layer respond to."""

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
from lightning_factorlens.results import FeatureVisualization
from lightning_factorlens.visualization import leading_vectors


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    add_lens_arguments(parser)
    parser.add_argument("--layer", type=str, required=True, help="name of a convolution or linear layer")
    parser.add_argument("--count", type=int, default=8, help="number of leading singular vectors")
    parser.add_argument("--preset", type=str, default="faithful", help="faithful (largest signal) or natural")
    parser.add_argument("--output", type=str, default="visualization.png", help="picture (.png, .svg, .pdf)")
    add_json(parser)


def _run(words: Any) -> None:
    """Runs the command."""
    from lightning_factorlens.plots import feature_visualization_figure

    found = run_lens(_visualize, words)
    save_figure(feature_visualization_figure(found), words.output, "there are no pictures")
    if words.json:
        print_json({"pictures": words.output, "names": found.names, "scores": found.scores.tolist()})
    else:
        print(f"{found.table()}\n\nPictures: {words.output}")


def _visualize(words: Any) -> FeatureVisualization:
    lens = lens_of(words)
    return lens.visualize(make_samples(words), leading_vectors(lens.model, words.layer, words.count), words.preset)


COMMAND = Command(
    "visualize",
    "Draws what the leading singular vectors of a layer respond to, beside the real images that they respond to most.",
    "factorlens visualize last.ckpt --model train.py:Net --data photos --size 64 --layer conv2 --output conv2.png",
    _add_arguments,
    _run,
)
