"""The error that ends a command with one sentence."""

from __future__ import annotations


class CommandError(Exception):
    """What the user asked for cannot be done; the message names the argument, what was found and what is allowed."""
