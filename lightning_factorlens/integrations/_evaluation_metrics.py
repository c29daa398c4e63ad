"""The metrics of an evaluation of transformers' Trainer, among which the callback's scalars are."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

#: What the Trainer puts before the names of what an evaluation measures.
EVALUATION = "eval_"


def is_of_evaluation(logs: Iterable[str]) -> bool:
    """Whether these are the metrics of an evaluation rather than the training loss or the callback's own scalars.

    Args:
        logs: Names of metrics.

    Example:
        >>> is_of_evaluation(["eval_loss", "eval_runtime"]), is_of_evaluation(["loss", "learning_rate"])
        (True, False)
    """
    return any(name.startswith(EVALUATION) and name.endswith("_runtime") for name in logs)


def monitored_name(args: Any) -> str:
    """The name under which the Trainer looks for ``metric_for_best_model``; `EVALUATION` alone where it has none.

    Args:
        args: The Trainer's arguments.
    """
    return f"{EVALUATION}{(args.metric_for_best_model or '').removeprefix(EVALUATION)}"


def check_monitored(args: Any, found: Iterable[str], later: Collection[str], prefix: str) -> None:
    """Refuses a ``metric_for_best_model`` with the callback's prefix that no observation will have.

    Args:
        args: The Trainer's arguments.
        found: Names of the scalars of the first observation.
        later: Tags that later observations may have besides.
        prefix: The callback's prefix.

    Raises:
        ValueError: There is no such scalar.
    """
    name = monitored_name(args)
    tags = [found_name.removeprefix(EVALUATION) for found_name in found]
    tag = name.removeprefix(EVALUATION)
    if tag.startswith(prefix) and tag not in tags and tag not in later:
        raise ValueError(
            f"metric_for_best_model: found {tag!r}, which the observation before training does not have; it has "
            f"{', '.join(tags)}. Consistency needs class scores: outputs='classes' says that the output is such."
        )
