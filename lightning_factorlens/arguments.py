"""Checks of arguments: an error names the argument, what was found, and what is allowed."""

from __future__ import annotations

from typing import Any


def whole(name: str, value: Any, least: int, or_none: str = "") -> None:
    """Refuses what is not a whole number ≥ ``least`` (or None, where that has a meaning).

    Raises:
        ValueError: Naming the argument.
    """
    if value is None and or_none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        also = f", or None for {or_none}" if or_none else ""
        raise ValueError(f"{name}: must be a whole number ≥ {least}{also}, found {value!r}.")


def flag(name: str, value: Any) -> None:
    """Refuses what is neither True nor False.

    Raises:
        ValueError: Naming the argument.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}: must be True or False, found {value!r}.")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuses what is not among the names.

    Raises:
        ValueError: Naming the argument.
    """
    if value not in allowed:
        raise ValueError(f"{name}: found {value!r}, allowed are {', '.join(map(repr, allowed))}.")
