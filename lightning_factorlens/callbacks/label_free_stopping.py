"""LabelFreeStopping: applies a stopping rule to the measurements of a FactorLensCallback and acts on its decisions."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from lightning_factorlens._validation import check_bool, check_int
from lightning_factorlens.callbacks._global_step import log_step
from lightning_factorlens.callbacks._lr_schedule import (
    LRLookahead,
    check_scheduler_supported,
    current_lr,
    scale_lrs,
)
from lightning_factorlens.callbacks._module_forward import as_sentence
from lightning_factorlens.callbacks._monitored_lens import check_metrics, find_lens_callback
from lightning_factorlens.callbacks._monitors import publish_metrics
from lightning_factorlens.callbacks._should_stop import stop_training
from lightning_factorlens.callbacks._spawn_results import SpawnResults
from lightning_factorlens.callbacks._stopping_arguments import check_action, check_rule, check_tag_name
from lightning_factorlens.callbacks._stopping_scalars import declare_scalars, stopping_tags
from lightning_factorlens.callbacks._stopping_state import StoppingState
from lightning_factorlens.loggers.base import run_all
from lightning_factorlens.measurements import Scalar
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.stopping import DEFAULT_MONITOR, Decision, EpochInfo, Rule, default_rule


class LabelFreeStopping(EarlyStopping):
    """Recommends a stop of the training without labels, stops the training, or lowers the learning rate instead.

    At the end of every epoch with a measurement, a rule of `lightning_factorlens.stopping` receives the new values of
    the `FactorLensCallback` in the same Trainer. The measurement before training is not used, because the predictions
    of an untrained network are consistent without having learnt anything. As a subclass of Lightning's
    ``EarlyStopping``, the callback always runs after the `FactorLensCallback` and before ``ModelCheckpoint``, in
    whatever order they are passed to the Trainer.

    It logs three scalars at every epoch end, in which ``factorlens`` is the prefix of the monitored tag and ``stop``
    is ``tag_name``:

    - ``factorlens/stop_score`` falls by one whenever the newest measurement is the rule's best, and is one higher in
      between. ``ModelCheckpoint(monitor="factorlens/stop_score", mode="min")`` thus keeps the rule's best epoch.
    - ``factorlens/should_stop`` is 1 if the rule's latest decision is to stop, else 0.
    - ``factorlens/stop_best_epoch`` is the rule's best epoch, counted from 1; 0 before the first decision.

    Args:
        monitor: Tag of the metric that the rule receives; lower is better, otherwise wrap the rule in `Maximize`. Its
            first part is the prefix of the `FactorLensCallback`.
        rule: A rule of `lightning_factorlens.stopping`; None for `default_rule()`.
        mode: ``"advise"`` reports once when the rule would stop, and changes nothing. ``"stop"`` stops the training
            with ``Trainer.should_stop``, but not before ``min_epochs`` and ``min_steps``. ``"lr"`` multiplies the
            learning rates by ``factor`` instead, after which the rule starts anew.
        factor: Factor of the learning rates in mode ``"lr"``, between 0 and 1.
        min_lr: Lower bound of the learning rates in mode ``"lr"``, at least 0.
        cooldown: Number of measurements after a change of the rates, in mode ``"lr"``, in which no other follows.
        tag_name: Part of the logged tags; a second instance in the same Trainer needs another one.
        verbose: Whether to report in words what the callback does or would do.

    Attributes:
        decision: The rule's latest `Decision`; None before the first measurement of an epoch.
        prefix: First part of ``monitor``.
        action: The argument ``mode``.

    Raises:
        ValueError: An argument is invalid; raised by the constructor.
        MisconfigurationException: Raised before the first training step if there is no `FactorLensCallback` with this
            prefix, if it does not log ``monitor`` or another metric of the rule, or if mode ``"lr"`` cannot change the
            rates of the scheduler.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lightning.pytorch.callbacks import ModelCheckpoint
        >>> from lightning_factorlens import FactorLensCallback
        >>> stopping = LabelFreeStopping(mode="stop")
        >>> stopping.tags
        ('factorlens/stop_score', 'factorlens/should_stop', 'factorlens/stop_best_epoch')
        >>> checkpoint = ModelCheckpoint(monitor="factorlens/stop_score", mode="min")
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[FactorLensCallback(), stopping, checkpoint])
    """

    def __init__(
        self,
        *,
        monitor: str = DEFAULT_MONITOR,
        rule: Rule | None = None,
        mode: str = "advise",
        factor: float = 0.1,
        min_lr: float = 0.0,
        cooldown: int = 0,
        tag_name: str = "stop",
        verbose: bool = True,
    ) -> None:
        check_rule(monitor, rule)
        check_action(mode, factor, min_lr)
        check_int("cooldown", cooldown, 0)
        check_tag_name(tag_name)
        check_bool("verbose", verbose)
        super().__init__(monitor, check_on_train_epoch_end=True, verbose=verbose)
        self.rule = default_rule() if rule is None else rule
        # not `self.mode`: EarlyStopping reads that attribute as "min" or "max" (`monitor_op`, `state_key`)
        self.action = mode
        self.factor = factor
        self.min_lr = min_lr
        self.cooldown = cooldown
        self.tag_name = tag_name
        self.prefix = monitor.split("/")[0]
        self._has_warned = False
        self._spawn_results = SpawnResults()
        self._reset()

    def _reset(self) -> None:
        """Returns to the state before the first measurement."""
        self._decision: Decision | None = None
        self._state = StoppingState(self.rule.start())
        self._metrics_checked = False

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that are logged, the score first."""
        return stopping_tags(self.prefix, self.tag_name)

    # ---- before training: all misconfigurations are found here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the FactorLensCallback with the prefix of the monitored tag.

        Raises:
            MisconfigurationException: There is none.
        """
        if stage != "fit":
            return
        self._spawn_results.begin(trainer, partial(self._leave_results, trainer))
        self._lens_callback = find_lens_callback(trainer, self.monitor, self.prefix)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Simulates the learning-rate schedule and logs the initial values, so that other callbacks find the tags."""
        if trainer.global_step == 0:
            self._reset()  # a second `fit` is another run
            self._has_warned = False
        if self.action == "lr":
            check_scheduler_supported(trainer)
        self._lookahead = LRLookahead(trainer)
        self._log(trainer)
        self._metrics_checked = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks once, after the measurement before training, that all metrics of the rule exist.

        Raises:
            MisconfigurationException: The FactorLensCallback does not log one of them.
        """
        self._update_lr(trainer)
        if not self._metrics_checked:
            self._check_metrics()

    def _check_metrics(self) -> None:
        self._metrics_checked = check_metrics(self._lens_callback, self.monitor, self.rule)

    # ---- during training

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Reads the learning rate of the epoch's last batch: at the epoch end the scheduler has already stepped."""
        if trainer.is_last_batch:
            self._update_lr(trainer)

    def _update_lr(self, trainer: Trainer) -> None:
        self._state.lr = current_lr(trainer)
        self._state.min_future_lr = self._lookahead.min_future_lr(self._state.lr)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Steps the rule with a new measurement; an epoch without one leaves the state unchanged."""
        metrics = self._lens_callback.epoch_metrics
        if metrics:
            if not self._metrics_checked:
                self._check_metrics()
            state = self._state
            info = EpochInfo(trainer.current_epoch + 1, state.lr, state.min_future_lr, metrics)
            value = metrics.get(self.monitor, math.nan)
            state.rule_state, decision = self.rule.step(state.rule_state, value, info)
            state.record(decision, info.epoch)
            self._decision = decision
            self._act(trainer, decision)
        self._log(trainer, to_loggers=bool(metrics))

    def _act(self, trainer: Trainer, decision: Decision) -> None:
        if self.action == "stop":
            self._stop(trainer, decision)
        elif self.action == "lr":
            self._scale_learning_rates(trainer, decision)
        elif decision.stop:
            self._announce("would stop", "Training goes on; pass mode='stop' to have it stopped.")

    def _stop(self, trainer: Trainer, decision: Decision) -> None:
        if stop_training(trainer, decision):
            self.stopped_epoch = trainer.current_epoch
            self.stopping_reason_message = decision.reason
            self._state.announced = False  # a resumed run may stop again
            keep = f"ModelCheckpoint(monitor={self.tags[0]!r}, mode='min') keeps the weights of that epoch."
            self._announce("stops training", keep)

    def _scale_learning_rates(self, trainer: Trainer, decision: Decision) -> None:
        if self._state.cooldown_left > 0:
            self._state.cooldown_left -= 1
            return
        if not decision.stop:
            return
        if scale_lrs(trainer, self.factor, self.min_lr):
            self._state.announced = False
            self._state.cooldown_left = self.cooldown
            self._announce(f"multiplies the learning rates by {self.factor:g}", "The rule starts anew.")
            self._state.rule_state = self.rule.start()
        else:
            self._announce("would lower the learning rates", f"They are at min_lr={self.min_lr:g} already.")

    def _announce(self, event: str, consequence: str) -> None:
        """Reports an event in words, once until another one happens."""
        if self._state.announced or self.decision is None:
            return
        self._state.announced = True
        if self.verbose:
            rank_zero_info(
                f"LabelFreeStopping {event}: {self.monitor}: {self.decision.reason}. The best epoch so far is "
                f"{self.decision.best_epoch}. {consequence}"
            )

    def _log(self, trainer: Trainer, to_loggers: bool = False) -> None:
        """Logs for monitoring callbacks on every rank and at every epoch, to the loggers only with a measurement."""
        should_stop = self.decision is not None and self.decision.stop
        values = dict(zip(self.tags, (self._state.score, float(should_stop), float(self._state.best_epoch or 0))))
        publish_metrics(trainer, values)
        if to_loggers and trainer.is_global_zero:
            step = log_step(trainer, after_epoch=True)
            try:
                run_all(trainer.loggers, lambda logger: logger.log_metrics(dict(values), step=step), "loggers")
            except Exception as error:
                self._warn("could not write its scalars", error)

    def _warn(self, event: str, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            cause = as_sentence(f"{type(error).__name__}: {error}")
            rank_zero_warn(f"LabelFreeStopping {event}: {cause} Further failures are not reported.")

    # ---- after training

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the decision for the main process, if this is a child process."""
        self._leave_results(trainer)

    def _leave_results(self, trainer: Trainer) -> None:
        try:
            self._spawn_results.write(trainer, self._results)
        except Exception as error:
            self._warn("could not pass its decision to the main process", error)

    def _results(self) -> dict[str, Any]:
        decision = None if self.decision is None else asdict(self.decision)
        return {"decision": decision, "state": asdict(self._state)}

    @property
    def decision(self) -> Decision | None:
        """The rule's latest decision; None before the first measurement of an epoch."""
        try:
            results = self._spawn_results.take()
        except Exception as error:
            results = None
            self._warn("could not read the decision of its child process", error)
        if results is not None:
            self._state = StoppingState(**results["state"])
            self._decision = None if results["decision"] is None else Decision(**results["decision"])
        return self._decision

    # ---- for the FactorLensCallback

    @property
    def stop_advice(self) -> StopAdvice:
        """What the rule has decided so far, for the summary of the run."""
        return StopAdvice("LabelFreeStopping", self._state.best_epoch, self._state.stop_epoch)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """Declarations of the logged scalars, for TensorBoard's layout and help page, and for checks of monitors."""
        return declare_scalars(self.tags, self.prefix)

    # ---- state

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint, distinct for distinct tags."""
        return self._generate_state_key(tag=self.tags[0])

    def state_dict(self) -> dict[str, Any]:
        """The state in plain types, so that a checkpoint can be loaded with ``weights_only=True``."""
        return {"rule": repr((self.monitor, self.rule)), **asdict(self._state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a checkpoint; a rule with other options than the checkpoint's starts anew, with a warning."""
        values = dict(state_dict)
        saved_rule = values.pop("rule")
        self._state = StoppingState(**values)
        if saved_rule != repr((self.monitor, self.rule)):
            self._state.rule_state = self.rule.start()
            rank_zero_warn(
                f"LabelFreeStopping: the checkpoint's rule was {saved_rule}, now it is {(self.monitor, self.rule)!r}; "
                "it starts anew."
            )
