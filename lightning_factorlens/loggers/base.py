"""What a sink is, and several as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from lightning_factorlens.results import Observation

T = TypeVar("T")


@runtime_checkable
class Sink(Protocol):
    """Somewhere an observation is written to."""

    def write(self, observation: Observation) -> None:
        """Write one observation."""

    def close(self) -> None:
        """Let go of what the sink itself holds; what it was given stays open."""


def run_all(targets: Sequence[T], action: Callable[[T], None], what: str) -> None:
    """The action on every target; a failure keeps no other target from its own.

    Args:
        targets: In this order.
        action: What to do with one.
        what: The targets' name in an error.

    Raises:
        Exception: What a single target raised, as it came.
        RuntimeError: When more than one failed, with what each of them said.
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
    """Sinks as one: a failure of one keeps no other from its own, see `each`."""

    def __init__(self, *sinks: Sink) -> None:
        self.sinks = sinks

    def write(self, observation: Observation) -> None:
        """To every one."""
        run_all(self.sinks, lambda sink: sink.write(observation), "sinks")

    def close(self) -> None:
        """Every one."""
        run_all(self.sinks, lambda sink: sink.close(), "sinks")


def has_methods(thing: Any, *methods: str) -> bool:
    """Whether a thing has all these methods: foreign loggers are told by what they can do."""
    return all(callable(getattr(thing, method, None)) for method in methods)
