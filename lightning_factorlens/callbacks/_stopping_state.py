"""The state of LabelFreeStopping that a checkpoint keeps."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_factorlens.stopping import Decision, State


@dataclass
class StoppingState:
    """What LabelFreeStopping remembers between measurements; all fields are plain types.

    Attributes:
        rule_state: State of the stopping rule.
        n_best: Number of measurements that were the best one when they were made.
        is_best: Whether the newest measurement is the best one.
        best_epoch: The rule's best epoch; None before the first decision.
        stop_epoch: The epoch after which the rule first decided to stop; None if it never did.
        cooldown_left: Number of measurements in which the learning rates are not changed again.
        announced: Whether the current event has been reported.
        lr: The latest learning rate; None without an optimizer.
        min_future_lr: The lowest rate that the schedule will still set; None if it is unknown.
        max_epochs: The planned number of epochs; None if it is unknown.
        probability: The latest estimated probability that the best epoch lies at or before the present one; None
            if there is none.
    """

    rule_state: State
    n_best: int = 0
    is_best: bool = False
    best_epoch: int | None = None
    stop_epoch: int | None = None
    cooldown_left: int = 0
    announced: bool = False
    lr: float | None = None
    min_future_lr: float | None = None
    max_epochs: int | None = None
    probability: float | None = None

    def record(self, decision: Decision, epoch: int) -> None:
        """Records a decision of the rule after an epoch."""
        self.best_epoch = decision.best_epoch
        if decision.probability is not None:
            self.probability = decision.probability
        if decision.stop and self.stop_epoch is None:
            self.stop_epoch = epoch
        self.is_best = decision.best_epoch == epoch
        if self.is_best:
            self.n_best += 1

    @property
    def score(self) -> float:
        """Minus the number of best measurements so far, plus one if the newest measurement is none of them."""
        if self.is_best or self.n_best == 0:
            return float(-self.n_best)
        return float(1 - self.n_best)
