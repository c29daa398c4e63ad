"""The rule of LabelFreeStopping in the course of a run: what it receives, its state, and its latest decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_factorlens.callbacks._lr_schedule import LRLookahead, current_lr, planned_max_epochs
from lightning_factorlens.callbacks._stopping_state import StoppingState
from lightning_factorlens.stopping import Decision, EpochInfo, Rule, State


class StoppingCourse:
    """Steps a rule with the measurements of a run.

    Args:
        monitor: Tag of the metric that the rule receives.
        rule: The rule.

    Attributes:
        state: What a checkpoint keeps.
        decision: The latest decision; None before the first measurement of an epoch, and after a checkpoint was read.
    """

    def __init__(self, monitor: str, rule: Rule) -> None:
        self.monitor = monitor
        self.rule = rule
        self.state = StoppingState(rule.start())
        self.decision: Decision | None = None

    def reset(self) -> None:
        """Returns to the state before the first measurement."""
        self.state = StoppingState(self.rule.start())
        self.decision = None

    def begin(self, trainer: Trainer) -> None:
        """Simulates the schedule of the learning rate.

        Args:
            trainer: A Trainer that is about to train.
        """
        self._lookahead = LRLookahead(trainer)

    def read_plan(self, trainer: Trainer) -> None:
        """Notes the present learning rate, the lowest one that is to come, and the planned number of epochs.

        Args:
            trainer: The Trainer, before the scheduler's step at the end of an epoch.
        """
        self.state.lr = current_lr(trainer)
        self.state.min_future_lr = self._lookahead.min_future_lr(self.state.lr)
        self.state.max_epochs = planned_max_epochs(trainer)

    def look(self, epoch: int, metrics: Mapping[str, float]) -> tuple[State, Decision]:
        """Computes what the rule would decide, and changes nothing.

        Args:
            epoch: Number of finished epochs, the present one included.
            metrics: All metrics of the measurement by tag.

        Returns:
            The rule's new state and its decision.
        """
        state = self.state
        info = EpochInfo(epoch, state.lr, state.min_future_lr, metrics, state.max_epochs)
        return self.rule.step(state.rule_state, metrics.get(self.monitor, math.nan), info)

    def advance(self, epoch: int, metrics: Mapping[str, float]) -> Decision:
        """Steps the rule with the last measurement of an epoch.

        Args:
            epoch: Number of finished epochs, the present one included.
            metrics: All metrics of the measurement by tag.

        Returns:
            The rule's decision.
        """
        self.state.rule_state, decision = self.look(epoch, metrics)
        self.state.record(decision, epoch)
        self.decision = decision
        return decision

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values of the logged scalars in the order of `stopping_tags`."""
        should_stop = self.decision is not None and self.decision.stop
        best_epoch = self.state.best_epoch or 0
        return (self.state.score, float(should_stop), float(best_epoch), self.state.probability or 0.0)

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """The state in plain types, with the rule to which it belongs."""
        return {"rule": repr((self.monitor, self.rule)), **asdict(self.state)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continues from a state; a rule with other options than the state's starts anew, with a warning.

        Args:
            state_dict: From `state_dict`.
        """
        values = dict(state_dict)
        saved_rule = values.pop("rule")
        self.state = StoppingState(**values)
        if saved_rule != repr((self.monitor, self.rule)):
            self.state.rule_state = self.rule.start()
            rank_zero_warn(
                f"LabelFreeStopping: the checkpoint's rule was {saved_rule}, now it is {(self.monitor, self.rule)!r}; "
                "it starts anew."
            )
