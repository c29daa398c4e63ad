"""The three scalars that LabelFreeStopping logs: their declarations, and how they are logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from lightning.pytorch import Trainer

from lightning_factorlens.callbacks._global_step import log_step
from lightning_factorlens.callbacks._monitors import publish_metrics
from lightning_factorlens.loggers.base import run_all
from lightning_factorlens.measurements import Scalar

#: Meaning, direction and chart of the scalars, in the order of `stopping_tags`.
DECLARATIONS: tuple[tuple[str, Literal["lower"] | None, str], ...] = (
    (
        "Falls by one whenever the newest observation is the rule's best, and is one higher in between.",
        "lower",
        "stop score and decision",
    ),
    ("1 where the rule's latest decision is to stop, else 0.", None, "stop score and decision"),
    ("The rule's best epoch, counted from 1; 0 before the first.", None, "best epoch so far, by the stopping rule"),
)


def stopping_tags(prefix: str, tag_name: str) -> tuple[str, ...]:
    """The tags of the scalars, the score first.

    Args:
        prefix: First part of the tags.
        tag_name: Part of their names that distinguishes two callbacks in one Trainer.

    Example:
        >>> stopping_tags("factorlens", "stop")
        ('factorlens/stop_score', 'factorlens/should_stop', 'factorlens/stop_best_epoch')
    """
    names = (f"{tag_name}_score", f"should_{tag_name}", f"{tag_name}_best_epoch")
    return tuple(f"{prefix}/{name}" for name in names)


def declare_scalars(tags: Sequence[str], prefix: str) -> tuple[Scalar, ...]:
    """Declarations of the scalars.

    Args:
        tags: From `stopping_tags`.
        prefix: First part of the tags.
    """
    declared = []
    for tag, (text, better, chart) in zip(tags, DECLARATIONS):
        name = tag.removeprefix(f"{prefix}/")
        declared.append(Scalar(name, f"{{prefix}}/{name}", text, better=better, chart=chart, monitored=True))
    return tuple(declared)


def log_scalars(trainer: Trainer, values: Mapping[str, float], to_loggers: bool) -> None:
    """Logs the scalars at the end of an epoch: for monitoring callbacks on every rank, for loggers on the first.

    Args:
        trainer: The Trainer.
        values: The values, by tag.
        to_loggers: Whether loggers show them, too.

    Raises:
        Exception: A logger has failed; the others have been written to.
    """
    publish_metrics(trainer, values)
    if to_loggers and trainer.is_global_zero:
        step = log_step(trainer, after_epoch=True)
        run_all(trainer.loggers, lambda logger: logger.log_metrics(dict(values), step=step), "loggers")
