"""``factorlens observe``: one observation of a checkpoint."""

from __future__ import annotations

from typing import Any

from lightning_factorlens.cli.arguments import add_json, add_lens_arguments, lens_of, make_samples, run_lens
from lightning_factorlens.cli.command import Command
from lightning_factorlens.results.serialization import to_json


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    add_lens_arguments(parser)
    parser.add_argument("--epoch", type=int, default=0, help="epoch that the observation is labelled with")
    add_json(parser)
    parser.add_argument("--output", type=str, default=None, help="file .jsonl that the observation is written to")


def _run(words: Any) -> None:
    """Runs the command.

    Raises:
        CommandError: Wrong arguments, or a model and samples that do not fit.
    """
    lens = lens_of(words)
    observation = run_lens(lens.observe, make_samples(words), epoch=words.epoch)
    if words.output is not None:
        from lightning_factorlens.loggers.json_lines import write_jsonl

        write_jsonl([observation], words.output)
    print(to_json(observation) if words.json else f"{lens}\n\n{observation}")


COMMAND = Command(
    "observe",
    "Makes one observation of a model: rank curves, effective rank, spectra, consistency.",
    "factorlens observe last.ckpt --model train.py:Net --data torchvision:MNIST --root data",
    _add_arguments,
    _run,
)
