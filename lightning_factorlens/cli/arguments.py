"""The arguments that several commands share, and the objects that they stand for."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from torch import nn

from lightning_factorlens.cli.data_source import FORMS, Preprocessing, load_samples
from lightning_factorlens.cli.errors import CommandError
from lightning_factorlens.cli.model_source import load_model
from lightning_factorlens.config import DEFAULT_RANKS, PROBE_SIZE
from lightning_factorlens.lens import FactorLens

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Beginning of an error that names an argument.
ARGUMENT = re.compile(r"[a-z_]+: ")


def add_model(parser: Any) -> None:
    """Adds the model and its checkpoint."""
    checkpoint_help = "file of torch.save or of a Trainer; without one the weights are the initial ones"
    parser.add_argument("checkpoint", type=str, nargs="?", help=checkpoint_help)
    add_model_options(parser)


def add_model_options(parser: Any, is_required: bool = True) -> None:
    """Adds the model alone, for commands with several checkpoints."""
    model_help = "package.module.Name or file.py:Name of a class or function"
    parser.add_argument("--model", type=str, required=is_required, help=model_help)
    arguments_help = "its arguments, e.g. --model_args.num_classes 10"
    parser.add_argument("--model_args", type=dict[str, Any], default={}, help=arguments_help)


def add_data(parser: Any, is_required: bool = True) -> None:
    """Adds the samples and what happens to them."""
    parser.add_argument("--data", type=str, required=is_required, help=FORMS)
    parser.add_argument("--data_args", type=dict[str, Any], default={}, help="arguments of an object at an import path")
    parser.add_argument("--root", type=str, default=None, help="folder of a torchvision data set")
    parser.add_argument("--size", type=int, default=None, help="edge to which images are resized and cropped")
    channels_help = "1 converts images of a folder or of torchvision to grey ones, 3 to coloured ones"
    parser.add_argument("--channels", type=int, default=None, help=channels_help)
    parser.add_argument("--mean", type=list[float], default=None, help="subtracted from every channel, e.g. [0.5]")
    parser.add_argument("--std", type=list[float], default=None, help="divides every channel, e.g. [0.25]")


def add_lens(parser: Any) -> None:
    """Adds the options of a lens."""
    layers_help = "globs, re:… or type:…, e.g. [layer1*,fc]; without any they are chosen automatically"
    outputs_help = "what the output is, e.g. classes, regression or embedding"
    parser.add_argument("--probe_size", type=int, default=PROBE_SIZE, help="number of samples that are drawn")
    parser.add_argument(
        "--ranks", type=list[int], default=list(DEFAULT_RANKS), help="ranks of the factorisation, e.g. [1,4,16]"
    )
    parser.add_argument("--layers", type=list[str], default=None, help=layers_help)
    parser.add_argument("--outputs", type=str, default=None, help=outputs_help)
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn")


def add_lens_arguments(parser: Any) -> None:
    """Adds all that a lens and its samples need."""
    add_model(parser)
    add_data(parser)
    add_lens(parser)


def add_json(parser: Any) -> None:
    """Adds the choice between tables and JSON."""
    json_help = "prints JSON instead of text and tables"
    parser.add_argument("--json", type=bool, default=False, nargs="?", const=True, help=json_help)


def make_model(words: Any) -> nn.Module:
    """The model of `add_model`."""
    return load_model(words.model, words.model_args, words.checkpoint)


def make_samples(words: Any) -> Any:
    """The samples of `add_data`."""
    preprocessing = Preprocessing(words.size, words.mean, words.std, words.channels)
    return load_samples(words.data, preprocessing, words.root, words.data_args)


def make_lens(words: Any, model: nn.Module) -> FactorLens:
    """The lens of `add_lens`.

    Raises:
        CommandError: A wrong option.
    """
    try:
        return FactorLens(
            model,
            outputs=words.outputs,
            probe_size=words.probe_size,
            ranks=words.ranks,
            layers=words.layers,
            seed=words.seed,
        )
    except (TypeError, ValueError) as error:
        raise CommandError(f"--{error}") from error


def save_figure(figure: Figure | None, path: str, problem: str) -> None:
    """Writes a figure.

    Raises:
        CommandError: There is none, and why; or the file cannot be written.
    """
    if figure is None:
        raise CommandError(f"--output: there is no picture, because {problem}.")
    try:
        figure.savefig(path, facecolor="white")
    except (OSError, ValueError) as error:
        raise CommandError(f"--output: {path!r} cannot be written: {error}") from error


def lens_of(words: Any) -> FactorLens:
    """The lens of `add_lens_arguments`.

    Raises:
        CommandError: A wrong model, checkpoint or option.
    """
    return make_lens(words, make_model(words))


def print_json(content: Any) -> None:
    """Prints content as JSON, which has no NaN: such numbers become null."""
    print(json.dumps(_plain(content), allow_nan=False))


def _plain(content: Any) -> Any:
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    return content


def run_lens(function: Any, *arguments: Any, **options: Any) -> Any:
    """Calls a method of a lens, whose errors name the argument.

    Raises:
        CommandError: The samples or the model do not fit.
    """
    try:
        return function(*arguments, **options)
    except CommandError:
        raise
    except Exception as error:
        if ARGUMENT.match(str(error)):
            raise CommandError(str(error)) from error
        raise CommandError(f"{type(error).__name__}: {error}") from error
