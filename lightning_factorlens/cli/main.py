"""The command line: its commands, and how an error becomes one sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from lightning_factorlens.cli.command import Command
from lightning_factorlens.cli.errors import CommandError

#: Exit code where the arguments, the model or the data are wrong.
WRONG_INPUT = 2
DESCRIPTION = "Measures, without labels, what a network has learned."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The words after the program's name; those of the process unless given.

    Returns:
        0, or `WRONG_INPUT` after one sentence on the standard error.
    """
    try:
        commands = _commands()
        words = _parser(commands).parse_args(None if arguments is None else list(arguments))
        commands[words.subcommand].run(words[words.subcommand])
    except CommandError as error:
        print(f"factorlens: {error}", file=sys.stderr)
        return WRONG_INPUT
    except BrokenPipeError:  # the reader of the output, e.g. `head`, has ended
        sys.stderr.close()
    return 0


def _commands() -> dict[str, Command]:
    """The commands by name. Each one's imports are made when the command line is used, and not with this file."""
    from lightning_factorlens.cli.compare import COMMAND as compare
    from lightning_factorlens.cli.concepts import COMMAND as concepts
    from lightning_factorlens.cli.hierarchy import COMMAND as hierarchy
    from lightning_factorlens.cli.observe import COMMAND as observe
    from lightning_factorlens.cli.report import COMMAND as report
    from lightning_factorlens.cli.spectra import COMMAND as spectra
    from lightning_factorlens.cli.tags import COMMAND as tags
    from lightning_factorlens.cli.visualize import COMMAND as visualize

    commands = (observe, spectra, concepts, hierarchy, visualize, compare, report, tags)
    return {command.name: command for command in commands}


def _parser(commands: dict[str, Command]) -> Any:
    try:
        from jsonargparse import ArgumentParser
    except ImportError as error:
        raise CommandError("the command line needs jsonargparse: pip install 'lightning-factorlens[cli]'.") from error
    parser = ArgumentParser(prog="factorlens", description=DESCRIPTION)
    subcommands = parser.add_subcommands(required=True, dest="subcommand")
    for command in commands.values():
        description = f"{command.help} Example: {command.example}"
        command_parser = ArgumentParser(prog=f"factorlens {command.name}", description=description)
        command.add_arguments(command_parser)
        subcommands.add_subcommand(command.name, command_parser, help=command.help)
    return parser
