"""The interface of sinks, to which observations are written, and several sinks as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from lightning_factorlens._private_api.loggers import logger_name_prefix
from lightning_factorlens.results import Observation

T = TypeVar("T")


@runtime_checkable
class Sink(Protocol):
    """Anything that observations are written to.

    It is closed when training ends, also by an error or an interrupt. The same callback may be used in another run:
    then `write` is called again after `close`, and must open what it needs, or raise an error that says that it is
    closed.

    A sink may also have a method ``complete(observation)``. It is called after each `write` with the same observation
    and its whole cost, of which the time to write is a part. It may have a method ``amend(observation)`` too, which is
    called when the observation that was written last has got a decision of `LabelFreeStopping`, also after `close`.
    """

    def write(self, observation: Observation) -> None:
        """Writes one observation; the last one of a run again, with the same epoch and step, where it is completed."""

    def close(self) -> None:
        """Releases what the sink itself has opened; what was passed to it stays open."""


def run_all(targets: Sequence[T], action: Callable[[T], None], what: str) -> None:
    """Runs an action on every target, also after it has failed on another one.

    Args:
        targets: The targets, in this order.
        action: The action on one of them.
        what: Name of the targets in an error.

    Raises:
        Exception: The error of a single target, as it was raised.
        RuntimeError: More than one failed; the message contains the errors of all.

    Example:
        >>> written = []
        >>> run_all(["a", "b"], written.append, "loggers")
        >>> written
        ['a', 'b']
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
        failures = []
        for caught in errors:
            failures.append(f"{type(caught).__name__}: {caught}")
        raise RuntimeError(f"{len(errors)} of {len(targets)} {what} failed: {'; '.join(failures)}") from errors[0]


class CompositeSink:
    """Several sinks as one; see `run_all` for failures.

    Args:
        sinks: The sinks.
    """

    def __init__(self, *sinks: Sink) -> None:
        self.sinks = sinks

    def write(self, observation: Observation) -> None:
        """Writes an observation to every sink."""
        run_all(self.sinks, lambda sink: sink.write(observation), "sinks")

    def complete(self, observation: Observation) -> None:
        """Passes the observation that was written last to the sinks that have a method ``complete``."""
        self._pass_to("complete", observation)

    def amend(self, observation: Observation) -> None:
        """Passes the observation that was written last to the sinks that have a method ``amend``."""
        self._pass_to("amend", observation)

    def _pass_to(self, method: str, observation: Observation) -> None:
        sinks = [sink for sink in self.sinks if has_methods(sink, method)]
        run_all(sinks, lambda sink: getattr(sink, method)(observation), "sinks")

    def close(self) -> None:
        """Closes every sink."""
        run_all(self.sinks, lambda sink: sink.close(), "sinks")


def has_methods(candidate: Any, *methods: str) -> bool:
    """Whether an object has all these methods, by which the loggers of other packages are recognised.

    Args:
        candidate: The object.
        methods: Names of the methods.

    Example:
        >>> has_methods([], "append", "pop"), has_methods([], "log_image")
        (True, False)
    """
    return all(callable(getattr(candidate, method, None)) for method in methods)


def comes_from(package: str, candidate: Any) -> bool:
    """Whether the class of an object, or one that it is derived from, is defined in a package.

    Args:
        package: Name of the package, which need not be installed.
        candidate: The object.

    Example:
        >>> comes_from("torch", Observation), comes_from("lightning_factorlens", Observation(1, 2, records={}))
        (False, True)
    """
    return any(base.__module__.partition(".")[0] == package for base in type(candidate).__mro__)


def logger_prefix(logger: Any) -> str:
    """The text that one of Lightning's loggers puts before every tag when it writes.

    Args:
        logger: Any logger.

    Returns:
        The logger's prefix and its separator; empty for a logger without a prefix.
    """
    prefix = logger_name_prefix(logger)
    if not isinstance(prefix, str) or not prefix:
        return ""
    return f"{prefix}{getattr(logger, 'LOGGER_JOIN_CHAR', '-')}"
