"""Checks of the callback's arguments that are objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning_factorlens._validation import check_int
from lightning_factorlens.callbacks._settings import Settings
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


def check_cadence(every_n_epochs: int | None, every_n_train_steps: int | None) -> None:
    """Checks the two arguments that say when observations are due.

    Args:
        every_n_epochs: The argument.
        every_n_train_steps: The argument.

    Raises:
        ValueError: One of them is no whole number ≥ 1, or both are given.
    """
    check_int("every_n_epochs", every_n_epochs, 1, or_none="every epoch")
    check_int("every_n_train_steps", every_n_train_steps, 1, or_none="observations at the end of epochs")
    if every_n_epochs is not None and every_n_train_steps is not None:
        raise ValueError(
            f"every_n_train_steps: found {every_n_train_steps} together with every_n_epochs={every_n_epochs}; "
            "observations are due either after epochs or after steps, so give one of the two."
        )


def settings_text(settings: Settings) -> str:
    """The arguments of a callback that decide when and what it observes, for its ``repr``.

    Args:
        settings: The callback.
    """
    n_steps = settings.every_n_train_steps
    cadence = f"every_n_epochs={settings.every_n_epochs}" if n_steps is None else f"every_n_train_steps={n_steps}"
    measurements = ", ".join(measurement.name for measurement in settings.measurements)
    return (
        f"{type(settings).__name__}({cadence}, probe_size={settings.probe_size}, "
        f"ranks={tuple(settings.options.ranks)}, prefix={settings.prefix!r}, detail={settings.detail!r}, "
        f"max_overhead={settings.max_overhead}, "
        f"measurements=[{measurements}])"
    )


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
