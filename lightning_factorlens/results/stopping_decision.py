"""What stopping rules have decided in a run, and which weights it has ended with, as the records of the run keep it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoppingDecision:
    """The decision of one `LabelFreeStopping` at the end of an epoch.

    Attributes:
        tag: Which of the Trainer's callbacks has decided: its prefix and ``tag_name``, such as ``"factorlens/stop"``.
        monitor: Tag of the metric that the rule has received.
        rule: The rule and its options, as text.
        target: What "best" means, ``"loss"`` or ``"accuracy"``; None for a rule of the user's own.
        mode: What the callback does when the rule decides to stop: ``"advise"``, ``"stop"`` or ``"lr"``.
        epoch: Number of finished epochs at the decision.
        stop: Whether the rule has decided to stop.
        best_epoch: The epoch whose weights the rule would keep; None before the first value.
        score: The value that the rule has compared, after its smoothing; NaN if the measurement has no value.
        reason: The reason in words.
        probability: Estimated probability that the best epoch of the planned training lies behind, that is, at or
            before ``epoch``; None if there is none.
        action: What the decision has changed: ``"stop"`` if the training was ended, ``"lr"`` if the learning rates were
            lowered, empty if nothing was changed.
    """

    tag: str
    monitor: str
    rule: str
    target: str | None
    mode: str
    epoch: int
    stop: bool
    best_epoch: int | None
    score: float
    reason: str
    probability: float | None = None
    action: str = ""


@dataclass(frozen=True)
class HandedOver:
    """Which weights one `LabelFreeStopping` has given the module at the end of ``fit``.

    Attributes:
        tag: Which of the Trainer's callbacks it was, as in `StoppingDecision`.
        weights: ``"best"`` for those of the best epoch, ``"average"`` for an average, ``"unchanged"`` if the callback
            has left the module's weights as they were. Of several callbacks, the last one that has changed them counts.
        epoch: The epoch of the weights, or the last one of the average; None if they were left as they were.
        reason: What was done, in words that follow the name of the callback.
    """

    tag: str
    weights: str
    epoch: int | None
    reason: str
