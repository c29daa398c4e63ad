"""LabelFreeStopping: applies a stopping rule to the measurements of a FactorLensCallback and acts on its decisions."""

from __future__ import annotations

from functools import partial
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_factorlens._validation import check_bool, check_int
from lightning_factorlens.argument_advice import FOR_STOPPING, arguments_of, check_known
from lightning_factorlens.callbacks._best_weights import BestWeights
from lightning_factorlens.callbacks._decision_record import handed_over, stopping_decision
from lightning_factorlens.callbacks._lr_schedule import check_scheduler_supported
from lightning_factorlens.callbacks._monitored_lens import check_metrics, find_lens_callback
from lightning_factorlens.callbacks._stopping_actions import StoppingActions
from lightning_factorlens.callbacks._stopping_arguments import (
    check_action,
    check_no_averaging,
    check_restore_best,
    check_rule,
    check_tag_name,
    warn_of_untested_signal,
)
from lightning_factorlens.callbacks._stopping_results import StoppingResults
from lightning_factorlens.callbacks._stopping_rule import stopping_rule, target_of
from lightning_factorlens.callbacks._stopping_scalars import log_scalars, values_for_loggers
from lightning_factorlens.callbacks._weights_outcome import NOT_ASKED_FOR, Outcome
from lightning_factorlens.results import HandedOver, StoppingDecision
from lightning_factorlens.stopping import Rule, default_monitor


class LabelFreeStopping(StoppingResults):
    """Recommends a stop of the training without labels, stops the training, or lowers the learning rate instead.

    At the end of every epoch with a measurement, a rule of `lightning_factorlens.stopping` receives the new values of
    the `FactorLensCallback` in the same Trainer. The measurement before training is not used, because the predictions
    of an untrained network are consistent without having learnt anything. As a subclass of Lightning's
    ``EarlyStopping``, the callback always runs after the `FactorLensCallback` and before ``ModelCheckpoint``, in
    whatever order they are passed to the Trainer.

    It logs these scalars at every epoch end, in which ``factorlens`` is the prefix of the `FactorLensCallback` and
    ``stop`` is ``tag_name``:

    - ``factorlens/stop_score`` falls by one whenever the newest measurement is the rule's best, and is one higher in
      between. ``ModelCheckpoint(monitor="factorlens/stop_score", mode="min")`` thus keeps the rule's best epoch.
      Loggers get it with ``FactorLensCallback(detail="all")`` only.
    - ``factorlens/should_stop`` is 1 if the rule's latest decision is to stop, else 0.
    - ``factorlens/stop_best_epoch`` is the rule's best epoch, counted from 1; 0 before the first decision.
    - ``factorlens/stop_probability`` is the estimated probability that the best epoch of the planned training lies
      behind, that is, at or before the present one (`BestEpochBehind`). It is absent for a rule of your own without
      ``min_probability``, and for a ``monitor`` other than that of the target, for which it has not been calibrated.

    Every decision is also kept in the observation that it was made by (`Observation.decisions`), with its reason.

    Args:
        monitor: Tag of the metric that the rule receives; lower is better, otherwise wrap the rule in `Maximize`. It
            begins with the prefix of the `FactorLensCallback`. None for the signal of the target:
            ``"factorlens/accuracy_signal"`` or ``"factorlens/loss_signal"``.
        rule: A rule of `lightning_factorlens.stopping`; None for `default_rule(target)`.
        min_probability: The rule decides to stop when the estimated probability that the best epoch lies behind reaches
            this value, above 0 and below 1. None leaves that decision to the rule's patience. Which epoch is kept is
            the rule's choice in either case.
        target: ``"accuracy"`` for the epoch with the highest test accuracy, ``"loss"`` for that with the lowest test
            loss. It selects the default monitor and what the probability refers to. None for that of ``monitor``, and
            for ``"accuracy"`` where ``monitor`` is not a signal of either: on 68 confirmation runs the accuracy's
            signal was the better stop for the test loss, too (`default_monitor`).
        mode: ``"advise"`` reports once when the rule would stop, and changes nothing. ``"stop"`` stops the training
            with ``Trainer.should_stop``, but not before ``min_epochs`` and ``min_steps``. ``"lr"`` multiplies the
            learning rates by ``factor`` instead, after which the rule starts anew.
        factor: Factor of the learning rates in mode ``"lr"``, between 0 and 1.
        min_lr: Lower bound of the learning rates in mode ``"lr"``, at least 0.
        cooldown: Number of measurements after a change of the rates, in mode ``"lr"``, in which no other follows.
        tag_name: Part of the logged tags; a second instance in the same Trainer needs another one.
        verbose: Whether to report in words what the callback does or would do.
        restore_best: Which weights the module has when ``fit`` ends, in every mode: with False those of the last epoch,
            with True those of the rule's best epoch, and with ``"average"`` the average over about the later half of
            the epochs up to five epochs after the best one (`WeightAverage`), which had a lower test loss than the best
            epoch in most runs of the project's study. They are put back after the last ``on_train_end``, so that
            checkpoints have those of the training; after an exception or an interrupt they are not, nor if no epoch has
            been the rule's best, as where the metric never had a value. They are kept in one file beside the
            checkpoints, which replaces the one before (with ``every_n_train_steps``, at every observation until the
            epoch ends); a file of 47 MB (ResNet-18) takes about 0.1 s. A resumed run goes on with the file of its
            checkpoint, and with the average in it. Weights that a callback of your own averages at the end of the
            training would be replaced; of two instances the last one in the list restores.
        **unknown: None are accepted; those of ``EarlyStopping`` and of `FactorLensCallback` are refused with an error
            that says what to write in their place.

    Attributes:
        decision: The rule's latest `Decision`; None before the first measurement of an epoch.
        prefix: First part of the logged tags: that of the `FactorLensCallback`, once ``fit`` has begun; before that,
            the text of ``monitor`` before the first slash.
        action: The argument ``mode``.
        target: ``"accuracy"`` or ``"loss"``, by the argument of that name or by ``monitor``; None for a rule of your
            own that does not read it.
        best_epoch: With ``restore_best``, the epoch whose weights are kept, or the last one of the average, counted
            from 1; None if there is none.
        best_weights_path: Their file, which ``Trainer.test(ckpt_path=…)`` reads; None if there is none.

    Raises:
        ValueError, TypeError: An argument is invalid or unknown; raised by the constructor.
        MisconfigurationException: Raised before the first training step if there is no `FactorLensCallback` with this
            prefix, if it does not log ``monitor`` or another metric of the rule, if mode ``"lr"`` cannot change the
            rates of the scheduler, or if another callback averages the weights while ``restore_best`` is set.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lightning_factorlens import FactorLensCallback
        >>> stopping = LabelFreeStopping(mode="stop", restore_best="average")
        >>> stopping.tags[:3]
        ('factorlens/stop_score', 'factorlens/should_stop', 'factorlens/stop_best_epoch')
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[FactorLensCallback(), stopping])
    """

    def __init__(
        self,
        *,
        monitor: str | None = None,
        rule: Rule | None = None,
        min_probability: float | None = None,
        target: str | None = None,
        mode: str = "advise",
        factor: float = 0.1,
        min_lr: float = 0.0,
        cooldown: int = 0,
        tag_name: str = "stop",
        verbose: bool = True,
        restore_best: bool | str = False,
        **unknown: Any,
    ) -> None:
        check_known(unknown, arguments_of(LabelFreeStopping), FOR_STOPPING, "arguments")
        if monitor is None:
            monitor = default_monitor() if target is None else default_monitor(target)
        check_rule(monitor, rule)
        check_action(mode, factor, min_lr)
        check_int("cooldown", cooldown, 0)
        check_tag_name(tag_name)
        check_bool("verbose", verbose)
        check_restore_best(restore_best)
        chosen = stopping_rule(monitor, rule, min_probability, target)
        super().__init__(monitor, chosen, tag_name, verbose, restore_best)
        # not `self.mode`: EarlyStopping reads that attribute as "min" or "max" (`monitor_op`, `state_key`)
        self.action = mode
        self.target = None if chosen is rule else target or target_of(monitor)
        self.factor = factor
        self.min_lr = min_lr
        self.cooldown = cooldown
        self._actions = StoppingActions(self)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(monitor={self.monitor!r}, mode={self.action!r}, rule={self.rule!r}, "
            f"restore_best={self.restore_best!r})"
        )

    # ---- before training: all misconfigurations are found here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the FactorLensCallback with the prefix of the monitored tag.

        Raises:
            MisconfigurationException: There is none, or another callback replaces the restored weights.
        """
        if stage != "fit":
            return
        if self._weights is not None:
            check_no_averaging(trainer, self.restore_best)
            self._weights.close()
        self._spawn_results.begin(trainer, partial(self._leave_results, trainer))
        self._has_trained = False
        self._lens_callback = find_lens_callback(trainer, self.monitor)
        self.prefix = self._lens_callback.prefix
        warn_of_untested_signal(self.monitor, self.action, self.restore_best)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Simulates the learning-rate schedule and logs the initial values, so that other callbacks find the tags."""
        if trainer.global_step == 0:
            self._reset()  # a second `fit` is another run
            self._attempts.has_warned = False
        self._has_trained = True
        self._open_weights(trainer)
        if self.action == "lr":
            check_scheduler_supported(trainer)
        self._course.begin(trainer)
        self._log(trainer)
        self._metrics_checked = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks once, after the measurement before training, that all metrics of the rule exist.

        Raises:
            MisconfigurationException: The FactorLensCallback does not log one of them.
        """
        self._course.read_plan(trainer)
        if not self._metrics_checked:
            self._check_metrics()

    def _check_metrics(self) -> None:
        self._metrics_checked = check_metrics(self._lens_callback, self.monitor, self.rule)

    # ---- during training

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Reads the learning rate of the epoch's last batch: at the epoch end the scheduler has already stepped."""
        if trainer.is_last_batch:
            self._course.read_plan(trainer)

    def on_observation(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the weights that have been observed, called by the FactorLensCallback while the module has them."""
        weights = self._open_weights(trainer)
        if weights is None or not weights.keeps_observations:
            return
        # which observation will be the epoch's last one, and at which rate the epoch ends, is unknown within an epoch
        within_epoch = self._lens_callback.every_n_train_steps is not None
        epoch = trainer.current_epoch + 1
        metrics = self._lens_callback.known_epoch_metrics
        if within_epoch or self._course.look(epoch, metrics)[1].best_epoch == epoch:
            weights.take(trainer, epoch)

    def _open_weights(self, trainer: Trainer) -> BestWeights | None:
        """The weights that are kept in this run; None if none are."""
        if self._weights is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return None
        self._weights.open(trainer, self._course.state.best_epoch)
        return self._weights

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Steps the rule with a new measurement; an epoch without one leaves the state unchanged."""
        weights = self._open_weights(trainer)  # before the rule's best epoch may become one without a file
        metrics = self._lens_callback.known_epoch_metrics
        has_measurement = bool(metrics)
        epoch = trainer.current_epoch + 1
        if has_measurement:
            if not self._metrics_checked:
                self._check_metrics()
            decision = self._course.advance(epoch, metrics)
            action = self._actions.act(trainer, decision, self._course.state, self.rule)
            if action == "stop":
                self.stopped_epoch = trainer.current_epoch
                self.stopping_reason_message = decision.reason
            self._record(trainer, stopping_decision(self, epoch, decision, action))
        if weights is not None:
            weights.judge(trainer, epoch, self._course.state.best_epoch)
        self._log(trainer, to_loggers=has_measurement)

    def _log(self, trainer: Trainer, to_loggers: bool = False) -> None:
        """Logs for monitoring callbacks on every rank and at every epoch, to the loggers only with a measurement."""
        values = dict(zip(self.tags, self._course.numbers))
        shown: dict[str, float] = {}
        if to_loggers:
            shown = values_for_loggers(values, self.scalars, self.prefix, self._lens_callback.detail)
        self._attempts.alone("could not write its scalars", partial(log_scalars, trainer, values, shown))

    # ---- after training

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores the best weights; leaves the decision for the main process, if this is a child process."""
        outcome: Outcome | None = NOT_ASKED_FOR
        if self._weights is not None:
            outcome = self._weights.finish(trainer, self._course.state.best_epoch)
            if outcome is not None and self.verbose and not outcome.is_reported:
                rank_zero_info(f"LabelFreeStopping {outcome.words} of {self.monitor}.")
        has_decided = self._course.decision is not None or self._course.state.best_epoch is not None
        if outcome is not None and has_decided and self._has_trained:
            self._record(trainer, handed_over(self, outcome))
        self._leave_results(trainer)

    def _record(self, trainer: Trainer, found: StoppingDecision | HandedOver) -> None:
        record = partial(self._lens_callback.add_decision, trainer, found)
        self._attempts.alone("could not record its decision", record)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notes that the checkpoint names the kept file, which therefore must not be removed."""
        if self._weights is not None:
            self._weights.mark_saved()
