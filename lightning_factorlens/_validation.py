"""Checks of arguments: an error names the argument, what was found, and what is allowed."""

from __future__ import annotations

from typing import Any


def check_int(name: str, value: Any, minimum: int, or_none: str = "") -> None:
    """Refuses what is not a whole number ≥ ``least`` (or None, where that has a meaning).

    Raises:
        ValueError: Naming the argument.
    """
    if value is None and or_none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        also = f", or None for {or_none}" if or_none else ""
        raise ValueError(f"{name}: must be a whole number ≥ {minimum}{also}, found {value!r}.")


def check_bool(name: str, value: Any) -> None:
    """Refuses what is neither True nor False.

    Raises:
        ValueError: Naming the argument.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}: must be True or False, found {value!r}.")


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuses what is not among the names.

    Raises:
        ValueError: Naming the argument.
    """
    if value not in allowed:
        raise ValueError(f"{name}: found {value!r}, allowed are {', '.join(map(repr, allowed))}.")
