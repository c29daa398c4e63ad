"""The scalars that LabelFreeStopping logs: their declarations, and how they are logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning.pytorch import Trainer

from lightning_factorlens.callbacks._global_step import log_step
from lightning_factorlens.callbacks._monitors import publish_metrics
from lightning_factorlens.loggers.base import run_all
from lightning_factorlens.loggers.detail import scalars_at_detail
from lightning_factorlens.measurements import Detail, Scalar


def stopping_tags(prefix: str, tag_name: str, has_probability: bool = True) -> tuple[str, ...]:
    """The tags of the scalars, the score first.

    Args:
        prefix: First part of the tags.
        tag_name: Part of their names that distinguishes two callbacks in one Trainer.
        has_probability: Whether the rule's decisions have a probability.

    Example:
        >>> stopping_tags("factorlens", "stop", has_probability=False)
        ('factorlens/stop_score', 'factorlens/should_stop', 'factorlens/stop_best_epoch')
        >>> stopping_tags("factorlens", "stop")[-1]
        'factorlens/stop_probability'
    """
    names = [f"{tag_name}_score", f"should_{tag_name}", f"{tag_name}_best_epoch"]
    if has_probability:
        names.append(f"{tag_name}_probability")
    return tuple(f"{prefix}/{name}" for name in names)


def declare_scalars(tags: Sequence[str], prefix: str) -> tuple[Scalar, ...]:
    """Declarations of the scalars.

    The score is for ``ModelCheckpoint``: it counts the new bests of one run, which says nothing beside another run's,
    and therefore has no chart.

    Args:
        tags: From `stopping_tags`.
        prefix: First part of the tags.
    """
    score, should_stop, best_epoch, *others = (tag.removeprefix(f"{prefix}/") for tag in tags)
    declared = [
        Scalar(
            score,
            f"{{prefix}}/{score}",
            "Falls by one whenever the newest observation is the rule's best, and is one higher in between.",
            reading="It is for `ModelCheckpoint`, and means nothing beside that of another run.",
            better="lower",
            monitored=True,
            detail="all",
        ),
        Scalar(
            should_stop,
            f"{{prefix}}/{should_stop}",
            "1 where the rule's latest decision is to stop, else 0.",
            chart=f"{should_stop}: 1 where the stopping rule would stop",
            monitored=True,
        ),
        Scalar(
            best_epoch,
            f"{{prefix}}/{best_epoch}",
            "The rule's best epoch, counted from 1, while the x axis is in steps; 0 before the first decision.",
            unit="epochs",
            chart=f"{best_epoch}: best epoch so far by the stopping rule, in epochs",
            monitored=True,
            summary=True,
        ),
    ]
    for probability in others:
        declared.append(_declare_probability(probability))
    return tuple(declared)


def _declare_probability(name: str) -> Scalar:
    return Scalar(
        name,
        f"{{prefix}}/{name}",
        "Estimated probability that the best epoch of the planned training lies behind, at or before the present one; "
        "0 before the first decision.",
        reading="It was calibrated on image classifiers, and depends on `max_epochs` and the planned learning rates.",
        chart=f"{name}: estimated probability that the best epoch lies behind",
        monitored=True,
    )


def values_for_loggers(
    values: Mapping[str, float], scalars: Sequence[Scalar], prefix: str, detail: Detail
) -> dict[str, float]:
    """The values that loggers get.

    Args:
        values: Value by tag.
        scalars: Their declarations.
        prefix: First part of the tags.
        detail: The level of detail of the `FactorLensCallback`.
    """
    tags = [scalar.tag.format(prefix=prefix) for scalar in scalars_at_detail(scalars, detail)]
    return {tag: values[tag] for tag in tags}


def log_scalars(trainer: Trainer, values: Mapping[str, float], shown: Mapping[str, float]) -> None:
    """Logs the scalars at the end of an epoch: for monitoring callbacks on every rank, for loggers on the first.

    Args:
        trainer: The Trainer.
        values: The values, by tag.
        shown: Those of them that loggers get; empty for none.

    Raises:
        Exception: A logger has failed; the others have been written to.
    """
    publish_metrics(trainer, values)
    if shown and trainer.is_global_zero:
        step = log_step(trainer, after_epoch=True)
        run_all(trainer.loggers, lambda logger: logger.log_metrics(dict(shown), step=step), "loggers")
