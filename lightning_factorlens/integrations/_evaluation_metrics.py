"""The metrics of an evaluation of transformers' Trainer, among which the callback's scalars are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

#: What the Trainer puts before the names of what an evaluation measures.
EVALUATION = "eval_"
#: The attribute of ``EarlyStoppingCallback`` that counts evaluations without an improvement.
PATIENCE_COUNTER = "early_stopping_patience_counter"


def evaluation_mark(eval_dataset: Any) -> str:
    """The metric that the Trainer's own evaluation has and no other one; of several data sets, that of the first.

    Where every evaluation had the scalars, ``EarlyStoppingCallback`` would count one observation several times.

    Args:
        eval_dataset: The Trainer's data sets.

    Example:
        >>> evaluation_mark([1, 2]), evaluation_mark({"near": [1], "far": [2]})
        ('eval_runtime', 'eval_near_runtime')
    """
    if isinstance(eval_dataset, Mapping) and eval_dataset:
        return f"{EVALUATION}{next(iter(eval_dataset))}_runtime"
    return f"{EVALUATION}runtime"


def monitored_name(args: Any) -> str:
    """The name under which the Trainer looks for ``metric_for_best_model``; `EVALUATION` alone where it has none.

    Args:
        args: The Trainer's arguments.
    """
    return f"{EVALUATION}{(args.metric_for_best_model or '').removeprefix(EVALUATION)}"


def keep_patience(trainer: Any) -> None:
    """Makes patience count observations, where an evaluation has no new one because the lens has failed.

    ``EarlyStoppingCallback`` and ``ReduceLROnPlateau`` will read the old value, or NaN, and increase their counts; this
    decreases them in advance.

    Args:
        trainer: The Trainer, whose ``metric_for_best_model`` is a scalar of the lens.
    """
    counters = [callback for callback in trainer.callback_handler.callbacks if hasattr(callback, PATIENCE_COUNTER)]
    for callback in counters:
        setattr(callback, PATIENCE_COUNTER, getattr(callback, PATIENCE_COUNTER) - 1)
    scheduler = getattr(trainer, "lr_scheduler", None)
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.num_bad_epochs -= 1


def check_monitored(
    args: Any, found: Iterable[str], later: Collection[str], prefix: str, reasons: Mapping[str, str]
) -> None:
    """Refuses a ``metric_for_best_model`` with the callback's prefix that no observation will have.

    Args:
        args: The Trainer's arguments.
        found: Names of the scalars of the first observation.
        later: Tags that later observations may have besides.
        prefix: The callback's prefix.
        reasons: Why the first observation lacks other scalars, by tag.

    Raises:
        ValueError: There is no such scalar.
    """
    name = monitored_name(args)
    tags = [found_name.removeprefix(EVALUATION) for found_name in found]
    tag = name.removeprefix(EVALUATION)
    if tag.startswith(prefix) and tag not in tags and tag not in later:
        reason = f"the observation has {reasons[tag]} " if tag in reasons else ""
        raise ValueError(
            f"metric_for_best_model: found {tag!r}: {reason}FactorLens logs no such value; there are: "
            f"{', '.join(sorted(tags))}. Pass one of these as `metric_for_best_model`."
        )
