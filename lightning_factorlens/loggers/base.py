"""What a sink is, and several sinks as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from lightning_factorlens._private_api import logger_name_prefix
from lightning_factorlens.results import Observation

T = TypeVar("T")


@runtime_checkable
class Sink(Protocol):
    """Anything that observations are written to."""

    def write(self, observation: Observation) -> None:
        """Writes one observation."""

    def close(self) -> None:
        """Releases what the sink itself holds; what it was given stays open."""


def run_all(targets: Sequence[T], action: Callable[[T], None], what: str) -> None:
    """Runs an action on every target; a failure keeps no other target from its own.

    Args:
        targets: The targets, in this order.
        action: The action on one of them.
        what: Name of the targets in an error.

    Raises:
        Exception: The error of a single target, as it was raised.
        RuntimeError: More than one failed; the message holds what each of them said.
    """
    errors: list[Exception] = []
    for target in targets:
        try:
            action(target)
        except Exception as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        failures = "; ".join(f"{type(error).__name__}: {error}" for error in errors)
        raise RuntimeError(f"{len(errors)} of {len(targets)} {what} failed: {failures}") from errors[0]


class CompositeSink:
    """Several sinks as one; see `run_all` for failures.

    Args:
        sinks: The sinks.
    """

    def __init__(self, *sinks: Sink) -> None:
        self.sinks = sinks

    def write(self, observation: Observation) -> None:
        """Writes to every one."""
        run_all(self.sinks, lambda sink: sink.write(observation), "sinks")

    def close(self) -> None:
        """Closes every one."""
        run_all(self.sinks, lambda sink: sink.close(), "sinks")


def has_methods(candidate: Any, *methods: str) -> bool:
    """Whether an object has all these methods: other packages' loggers are recognised by what they can do."""
    return all(callable(getattr(candidate, method, None)) for method in methods)


def logger_prefix(logger: Any) -> str:
    """What one of Lightning's loggers puts before every tag when it writes."""
    prefix = logger_name_prefix(logger)
    if not isinstance(prefix, str) or not prefix:
        return ""
    return f"{prefix}{getattr(logger, 'LOGGER_JOIN_CHAR', '-')}"
