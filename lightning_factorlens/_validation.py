"""Checks of arguments; an error names the argument, the value that was found, and the values that are allowed."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

#: The first part of the name of every module here.
PACKAGE = __name__.partition(".")[0]


def check_int(name: str, value: Any, minimum: int, or_none: str = "") -> None:
    """Checks that a value is a whole number of at least ``minimum``.

    Args:
        name: Name of the argument, for the message.
        value: What was passed.
        minimum: The smallest number that is allowed.
        or_none: What None means, if it is allowed as well.

    Raises:
        ValueError: The value is something else.

    Example:
        >>> check_int("patience", 3, 1)
        >>> check_int("patience", 0, 1, or_none="no limit")
        Traceback (most recent call last):
        ValueError: patience: must be a whole number ≥ 1, or None for no limit, found 0.
    """
    if value is None and or_none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        alternative = f", or None for {or_none}" if or_none else ""
        raise ValueError(f"{name}: must be a whole number ≥ {minimum}{alternative}, found {value!r}.")


def checked_int(name: str, value: Any, minimum: int) -> int:
    """A whole number of Python, NumPy or PyTorch as an int.

    Args:
        name: Name of the argument, for the message.
        value: What was passed.
        minimum: The smallest number that is allowed.

    Raises:
        ValueError: The value is something else, or below ``minimum``.

    Example:
        >>> import numpy as np
        >>> checked_int("epoch", np.int64(3), 0)
        3
        >>> checked_int("epoch", 1.5, 0)
        Traceback (most recent call last):
        ValueError: epoch: must be a whole number ≥ 0, found 1.5.
    """
    number = _whole(value)
    check_int(name, number, minimum)
    return int(number)


def check_bool(name: str, value: Any) -> None:
    """Checks that a value is True or False.

    Args:
        name: Name of the argument, for the message.
        value: What was passed.

    Raises:
        ValueError: The value is something else.

    Example:
        >>> check_bool("verbose", 1)
        Traceback (most recent call last):
        ValueError: verbose: must be True or False, found 1.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}: must be True or False, found {value!r}.")


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Checks that a value is one of several names.

    Args:
        name: Name of the argument, for the message.
        value: What was passed.
        allowed: The names.

    Raises:
        ValueError: The value is something else.

    Example:
        >>> check_choice("mode", "fast", ("min", "max"))
        Traceback (most recent call last):
        ValueError: mode: found 'fast', allowed are 'min', 'max'.
    """
    if value not in allowed:
        raise ValueError(f"{name}: found {value!r}, allowed are {', '.join(map(repr, allowed))}.")


def is_number(value: Any) -> bool:
    """Whether a value is an int or a float, and no bool.

    Example:
        >>> is_number(0.5), is_number(True), is_number("0.5")
        (True, False, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_non_negative(name: str, value: Any) -> None:
    """Checks that a value is a finite number of at least 0.

    Args:
        name: Name of the argument, for the message.
        value: What was passed.

    Raises:
        ValueError: The value is something else.

    Example:
        >>> check_non_negative("tol", "small")
        Traceback (most recent call last):
        ValueError: tol: must be a number ≥ 0, found 'small'.
    """
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: must be a number ≥ 0, found {value!r}.")


def check_positive(name: str, value: Any) -> None:
    """Checks that a value is a finite number above 0.

    Args:
        name: Name of the argument, for the message.
        value: What was passed.

    Raises:
        ValueError: The value is something else.

    Example:
        >>> check_positive("learning_rate", -0.1)
        Traceback (most recent call last):
        ValueError: learning_rate: must be a number > 0, found -0.1.
    """
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name}: must be a number > 0, found {value!r}.")


def check_type(name: str, value: Any, allowed: type, advice: str) -> None:
    """Checks that a value is what another function of the package returns.

    Args:
        name: Name of the argument, for the message.
        value: What was passed.
        allowed: Its type.
        advice: How to get such a value.

    Raises:
        ValueError: The value is something else.

    Example:
        >>> check_type("page", [1, 2], dict, "pass dict(…)")
        Traceback (most recent call last):
        ...
        ValueError: page: must be of type dict, found list; pass dict(…).
    """
    if not isinstance(value, allowed):
        raise ValueError(f"{name}: must be of type {allowed.__name__}, found {type(value).__name__}; {advice}.")


def check_positions(name: str, values: Iterable[Any], size: int, things: str) -> list[int]:
    """Checks that every value is the position of one of some things, counted from 0.

    Args:
        name: Name of the argument, for the message.
        values: What was passed; whole numbers of NumPy and PyTorch are such as well.
        size: Number of things.
        things: What they are.

    Returns:
        The positions.

    Raises:
        ValueError: No values, or one that is something else.

    Example:
        >>> check_positions("units", [0, 9], 4, "units of 'conv1'")
        Traceback (most recent call last):
        ValueError: units: there are 4 units of 'conv1', found 9; give whole numbers from 0 to 3.
    """
    allowed = f"give whole numbers from 0 to {size - 1}"
    if not isinstance(values, Iterable):
        raise ValueError(f"{name}: must be a list, found {values!r:.200}; {allowed}.")
    found = [_whole(value) for value in values]
    if not found:
        raise ValueError(f"{name}: found none; {allowed}.")
    positions = []
    for value in found:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < size:
            raise ValueError(f"{name}: there are {size} {things}, found {value!r}; {allowed}.")
        positions.append(value)
    return positions


def _whole(value: Any) -> Any:
    """A whole number of NumPy or PyTorch as an int; anything else as it is."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def raised_by_package(error: BaseException) -> bool:
    """Whether the innermost Python function in an error's traceback belongs to this package.

    Args:
        error: An error that has been caught.
    """
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = str(traceback.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] == PACKAGE
