"""What LabelFreeStopping does when its rule decides to stop, in each of its modes, and what it says about that."""

from __future__ import annotations

from typing import Protocol

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_factorlens.callbacks._lr_schedule import scale_lrs
from lightning_factorlens.callbacks._should_stop import stop_training
from lightning_factorlens.callbacks._stopping_state import StoppingState
from lightning_factorlens.stopping import Decision, Rule


class ActionSettings(Protocol):
    """The arguments of `LabelFreeStopping` that are read here."""

    monitor: str
    action: str
    factor: float
    min_lr: float
    cooldown: int
    verbose: bool
    restore_best: bool | str

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that are logged, the score first."""
        ...


class StoppingActions:
    """Acts on the decisions of a rule.

    Args:
        settings: The callback's arguments.
    """

    def __init__(self, settings: ActionSettings) -> None:
        self._settings = settings

    def act(self, trainer: Trainer, decision: Decision, state: StoppingState, rule: Rule) -> str:
        """Stops the training, lowers the learning rates, or reports, as the mode says.

        Args:
            trainer: The Trainer; all of its ranks call this together.
            decision: The rule's decision.
            state: What lasts from one decision to the next; it is changed.
            rule: The rule, which starts anew when the learning rates have been lowered.

        Returns:
            What was changed: ``"stop"`` if the training is stopped, ``"lr"`` if the learning rates were lowered, else
            an empty text.
        """
        if self._settings.action == "stop":
            return "stop" if self._stop(trainer, decision, state) else ""
        if self._settings.action == "lr":
            return "lr" if self._scale_learning_rates(trainer, decision, state, rule) else ""
        if decision.stop:
            self._announce("would stop", "Training goes on; pass mode='stop' to have it stopped.", decision, state)
        return ""

    def _stop(self, trainer: Trainer, decision: Decision, state: StoppingState) -> bool:
        is_stopped = stop_training(trainer, decision)
        if is_stopped:
            state.announced = False  # a resumed run may stop again
            self._announce("stops training", self._fate_of_weights(trainer), decision, state)
        return is_stopped

    def _fate_of_weights(self, trainer: Trainer) -> str:
        """What happens to the weights of the best epoch when the training stops."""
        score = self._settings.tags[0]
        if self._settings.restore_best == "average":
            return "The average of the weights up to some epochs after it is restored when `fit` ends."
        if self._settings.restore_best:
            return "Its weights are restored when `fit` ends."
        if any(getattr(callback, "monitor", None) == score for callback in trainer.checkpoint_callbacks):
            return "A checkpoint keeps its weights."
        return (
            "The module has the weights of the last epoch: pass restore_best=True to end with those of the best one, "
            f"or add ModelCheckpoint(monitor={score!r}, mode='min') to keep them in a checkpoint."
        )

    def _scale_learning_rates(self, trainer: Trainer, decision: Decision, state: StoppingState, rule: Rule) -> bool:
        settings = self._settings
        if state.cooldown_left > 0:
            state.cooldown_left -= 1
            return False
        if not decision.stop:
            return False
        if scale_lrs(trainer, settings.factor, settings.min_lr):
            state.announced = False
            state.cooldown_left = settings.cooldown
            event = f"multiplies the learning rates by {settings.factor:g}"
            self._announce(event, "The rule starts anew.", decision, state)
            state.rule_state = rule.start()
            return True
        consequence = f"They are at min_lr={settings.min_lr:g} already."
        self._announce("would lower the learning rates", consequence, decision, state)
        return False

    def _announce(self, event: str, consequence: str, decision: Decision, state: StoppingState) -> None:
        """Reports an event in words, once until another one happens."""
        if state.announced:
            return
        state.announced = True
        if self._settings.verbose:
            rank_zero_info(
                f"LabelFreeStopping {event}: {self._settings.monitor}: {decision.reason}. The best epoch so far is "
                f"{decision.best_epoch}. {consequence}"
            )
