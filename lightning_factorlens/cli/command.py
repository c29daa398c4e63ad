"""What the command line knows of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: Its name.
        help: What it does, in one sentence.
        example: A whole command line.
        add_arguments: Declares its arguments in a parser.
        run: Runs it with the parsed arguments; prints what it finds.
    """

    name: str
    help: str
    example: str
    add_arguments: Callable[[Any], None]
    run: Callable[[Any], None]
