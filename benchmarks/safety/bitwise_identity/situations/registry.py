"""All situations, and each by its name."""

from __future__ import annotations

from benchmarks.safety.bitwise_identity.situations import (
    batches,
    called,
    counting_datasets,
    failures,
    files,
    iterables,
    loaders,
    outputs,
    runs,
    samplers,
    stateful_datasets,
    stateful_models,
    transfer_hooks,
    weights,
)
from benchmarks.safety.bitwise_identity.situations.base import Situation

SITUATIONS: tuple[Situation, ...] = (
    *stateful_datasets.SITUATIONS,
    *counting_datasets.SITUATIONS,
    *files.SITUATIONS,
    *iterables.SITUATIONS,
    *loaders.SITUATIONS,
    *samplers.SITUATIONS,
    *batches.SITUATIONS,
    *transfer_hooks.SITUATIONS,
    *stateful_models.SITUATIONS,
    *weights.SITUATIONS,
    *outputs.SITUATIONS,
    *called.SITUATIONS,
    *runs.SITUATIONS,
    *failures.SITUATIONS,
)


def find_situation(name: str) -> Situation:
    """The situation with a name, as ``str`` gives it.

    Raises:
        KeyError: There is none.
    """
    for situation in SITUATIONS:
        if str(situation) == name:
            return situation
    raise KeyError(f"No situation is called {name!r}.")
