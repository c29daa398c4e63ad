"""The decisions of LabelFreeStopping in the form in which observations and their lines of JSON keep them."""

from __future__ import annotations

from typing import Protocol

from lightning_factorlens.callbacks._weights_outcome import Outcome
from lightning_factorlens.results import HandedOver, StoppingDecision
from lightning_factorlens.stopping import Decision, Rule


class DecidingCallback(Protocol):
    """The attributes of `LabelFreeStopping` that are read here."""

    prefix: str
    tag_name: str
    monitor: str
    rule: Rule
    target: str | None
    action: str


def stopping_decision(callback: DecidingCallback, epoch: int, decision: Decision, action: str) -> StoppingDecision:
    """A decision with what it belongs to.

    Args:
        callback: The `LabelFreeStopping`.
        epoch: The epoch that ends, counted from 1.
        decision: What its rule has decided.
        action: What that has changed: ``"stop"``, ``"lr"``, or nothing if it is empty.
    """
    return StoppingDecision(
        tag=_tag(callback),
        monitor=callback.monitor,
        rule=repr(callback.rule),
        target=callback.target,
        mode=callback.action,
        epoch=epoch,
        stop=decision.stop,
        best_epoch=decision.best_epoch,
        score=decision.score,
        reason=decision.reason,
        probability=decision.probability,
        action=action,
    )


def handed_over(callback: DecidingCallback, outcome: Outcome) -> HandedOver:
    """The weights that a callback has given the module at the end of ``fit``.

    Args:
        callback: The `LabelFreeStopping`.
        outcome: What was done.
    """
    return HandedOver(_tag(callback), outcome.weights, outcome.epoch, outcome.words)


def _tag(callback: DecidingCallback) -> str:
    return f"{callback.prefix}/{callback.tag_name}"
