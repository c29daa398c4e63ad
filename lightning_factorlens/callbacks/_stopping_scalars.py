"""The three scalars that LabelFreeStopping logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lightning_factorlens.measurements import Scalar

#: Meaning, direction and chart of the scalars, in the order of `stopping_tags`.
DECLARATIONS: tuple[tuple[str, Literal["lower"] | None, str], ...] = (
    (
        "Falls by one whenever the newest observation is the rule's best, and is one higher in between.",
        "lower",
        "stop score and decision",
    ),
    ("1 where the rule's latest decision is to stop, else 0.", None, "stop score and decision"),
    (
        "The rule's best epoch, counted from 1, while the x axis is in steps; 0 before the first decision.",
        None,
        "best epoch so far, by the stopping rule",
    ),
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
        is_best_epoch = tag == tags[-1]
        scalar = Scalar(
            name, f"{{prefix}}/{name}", text, better=better, chart=chart, monitored=True, summary=is_best_epoch
        )
        declared.append(scalar)
    return tuple(declared)
