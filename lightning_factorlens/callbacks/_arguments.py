"""Checks of the callback's arguments that are objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning_factorlens.loggers.base import Sink


def check_options(name: str, value: Any, kind: type) -> Any:
    """An option object, or the default one.

    Args:
        name: Name of the argument.
        value: The argument.
        kind: The class that it must have.

    Raises:
        TypeError: Anything else.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise TypeError(f"{name}: must be a {kind.__name__} or None, found {value!r}; write {name}={kind.__name__}(…).")
    return value


def check_sinks(sinks: Iterable[Sink]) -> tuple[Sink, ...]:
    """The sinks as a tuple.

    Args:
        sinks: The argument.

    Raises:
        ValueError: It is no list, or one of its elements is no sink.
    """
    if isinstance(sinks, (str, Sink)) or not isinstance(sinks, Iterable):
        raise ValueError(f"sinks: must be a list of sinks, found {sinks!r}; write e.g. sinks=[JSONLinesSink(path)].")
    checked = tuple(sinks)
    for sink in checked:
        if isinstance(sink, type) or not isinstance(sink, Sink):
            raise ValueError(
                f"sinks: each needs write(observation) and close(), found {sink!r}; pass objects such as "
                "JSONLinesSink('curves.jsonl')."
            )
    return checked
