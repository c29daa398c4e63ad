"""LabelFreeStopping: a rule's verdict on the lens's looks, and what becomes of it in a Trainer. No mathematics."""

from __future__ import annotations

import math
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from lightning_factorlens._validation import check_bool, check_choice, check_int
from lightning_factorlens.callbacks._global_step import log_step
from lightning_factorlens.callbacks._lr_schedule import (
    LRLookahead,
    check_scheduler_supported,
    current_lr,
    scale_lrs,
)
from lightning_factorlens.callbacks.factorlens_callback import FactorLensCallback
from lightning_factorlens.measurements import Scalar
from lightning_factorlens.stopping import DEFAULT_MONITOR, Decision, EpochInfo, Rule, default_rule

MODES = ("advise", "stop", "lr")
#: Meaning, direction and chart of the three scalars, in the order of `LabelFreeStopping.tags`.
DECLARATIONS: tuple[tuple[str, Literal["lower"] | None, str], ...] = (
    (
        "Falls by one whenever the newest observation is the rule's best, and is one higher in between.",
        "lower",
        "stop score and decision",
    ),
    ("1 where the rule's latest decision is to stop, else 0.", None, "stop score and decision"),
    ("The rule's best epoch, counted from 1; 0 before the first.", None, "best epoch so far, by the stopping rule"),
)


class LabelFreeStopping(EarlyStopping):
    """Says, without labels, when to stop training; stops it, or lowers the learning rate, when it is told to.

    Reads the fresh values of the `FactorLensCallback` in the same Trainer at the end of every epoch that has a look,
    and lets a rule of `lightning_factorlens.stopping` judge them. The look before training counts for nothing: an
    untrained network agrees with itself. Where the order of callbacks is concerned it is one of Lightning's
    `EarlyStopping`, so that it always acts after the lens and before `ModelCheckpoint`.

    It logs ``factorlens/stop_score``, which falls by one whenever the rule finds a better look than all before, and
    stands above in between: ``ModelCheckpoint(monitor="factorlens/stop_score", mode="min")`` keeps the rule's best.

    Example:
        >>> keep = ModelCheckpoint(monitor="factorlens/stop_score", mode="min")  # doctest: +SKIP
        >>> Trainer(callbacks=[FactorLensCallback(), LabelFreeStopping(mode="stop"), keep])  # doctest: +SKIP

    Args:
        signal: What the rule judges, lower is better (else wrap the rule in `Maximise`); its first part is the lens's
            prefix.
        rule: An object of `lightning_factorlens.stopping`; `default_rule()` unless given.
        mode: ``"advise"``: says once when it would stop, and changes nothing. ``"stop"``: stops, through Lightning's
            own machinery, not before ``min_epochs`` and ``min_steps``. ``"lr"``: multiplies the learning rates by
            ``factor`` instead, after which the rule begins anew.
        factor: For mode ``"lr"``: what every rate is multiplied by.
        min_lr: For mode ``"lr"``: rates never fall below.
        cooldown: For mode ``"lr"``: looks after a division during which no other follows.
        name: Of the tags ``factorlens/<name>_score``, ``…_verdict`` and ``…_best_epoch``; a second instance needs
            another.
        verbose: Whether to say in words what it does or would do.

    Raises:
        ValueError: A wrong argument, at once.
        MisconfigurationException: Before training: no lens of this prefix, no such signal, a name used twice, or a
            scheduler whose rates cannot be divided.
    """

    #: How an error names the argument behind ``monitor``.
    monitor_argument = "signal"

    def __init__(
        self,
        signal: str = DEFAULT_MONITOR,
        rule: Rule | None = None,
        mode: str = "advise",
        factor: float = 0.1,
        min_lr: float = 0.0,
        cooldown: int = 0,
        name: str = "stop",
        verbose: bool = True,
    ) -> None:
        if not isinstance(signal, str) or "/" not in signal:
            raise ValueError(f"signal: must be a tag such as {DEFAULT_MONITOR!r}, found {signal!r}.")
        if rule is not None and not isinstance(rule, Rule):
            raise ValueError(f"rule: must be a rule such as Patience() or None for the default, found {rule!r}.")
        check_choice("mode", mode, MODES)
        if not isinstance(factor, float) or not 0 < factor < 1:
            raise ValueError(f"factor: must be a number between 0 and 1, found {factor!r}.")
        if isinstance(min_lr, bool) or not isinstance(min_lr, (int, float)) or not 0 <= min_lr < math.inf:
            raise ValueError(f"min_lr: must be a number ≥ 0, found {min_lr!r}.")
        check_int("cooldown", cooldown, 0)
        check_bool("verbose", verbose)
        super().__init__(signal, check_on_train_epoch_end=True, verbose=verbose)
        self.rule = default_rule() if rule is None else rule
        self.action, self.factor, self.min_lr, self.cooldown, self.name = mode, factor, min_lr, cooldown, name
        self.prefix = signal.split("/")[0]
        self.verdict: Decision | None = None
        self._forget()

    def _forget(self) -> None:
        """Back to before the first look."""
        self._state = self.rule.start()
        self._bests, self._is_best = 0, False
        self._best_epoch: int | None = None
        self._resting, self._said = 0, False
        self._rate: float | None = None
        self._ahead: float | None = None
        self.verdict = None

    @property
    def tags(self) -> tuple[str, ...]:
        """What is logged beside the lens's own tags, the score first."""
        return tuple(f"{self.prefix}/{self.name}_{what}" for what in ("score", "verdict", "best_epoch"))

    # ---- before training: everything that can be wrong is found here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the lens."""
        if stage != "fit":
            return
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        lenses = [c for c in callbacks if isinstance(c, FactorLensCallback)]
        found = [lens for lens in lenses if lens.prefix == self.prefix]
        if not found:
            there = ", ".join(repr(lens.prefix) for lens in lenses) or "none at all"
            raise MisconfigurationException(
                f"LabelFreeStopping(signal={self.monitor!r}) needs a FactorLensCallback with prefix {self.prefix!r} in "
                f"the same Trainer; prefixes there are: {there}."
            )
        self._lens = found[0]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Runs the schedule ahead."""
        if trainer.global_step == 0:
            self._forget()  # a second `fit` is another run
        if self.action == "lr":
            check_scheduler_supported(trainer)
        self._plan = LRLookahead(trainer)
        self._tell(trainer, pl_module)
        self._checked = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All signals of the rule must be there, now that the lens has looked for the first time."""
        self._note_rate(trainer)
        if self._checked:
            return
        missing = [s for s in (self.monitor, *self.rule.metrics) if s not in self._lens.metrics]
        if missing:
            known = ", ".join(sorted(self._lens.metrics))
            raise MisconfigurationException(
                f"LabelFreeStopping: FactorLens logs no {', '.join(map(repr, missing))}; there are: {known}."
            )
        self._checked = True

    # ---- during training

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """When an epoch ends its schedule has moved on already: the rate is that of the last batch."""
        if trainer.is_last_batch:
            self._note_rate(trainer)

    def _note_rate(self, trainer: Trainer) -> None:
        self._rate = current_lr(trainer)
        self._ahead = self._plan.min_future_lr(self._rate)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A verdict on a fresh look; an epoch without one leaves everything as it was."""
        news = self._lens.epoch_metrics
        if news:
            look = EpochInfo(trainer.current_epoch + 1, self._rate, self._ahead, news)
            self._state, verdict = self.rule.step(self._state, news.get(self.monitor, math.nan), look)
            self._is_best = verdict.best_epoch == look.epoch
            self._bests += self._is_best
            self._best_epoch, self.verdict = verdict.best_epoch, verdict
            self._act(trainer, verdict)
        self._tell(trainer, pl_module, to_loggers=bool(news))

    def _act(self, trainer: Trainer, verdict: Decision) -> None:
        if self.action == "stop":
            self._stop(trainer, verdict)
        elif self.action == "lr":
            self._divide(trainer, verdict)
        elif verdict.stop:
            self._say("would stop", "Training goes on; pass mode='stop' to have it stopped.")

    def _stop(self, trainer: Trainer, verdict: Decision) -> None:
        """Lightning's flag latches: a stop before the minimum is not passed on, as the rule may change its mind."""
        early = trainer.current_epoch + 1 < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0)
        stop = verdict.stop and not early and not trainer.fast_dev_run  # type: ignore[attr-defined]
        stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        trainer.should_stop = trainer.should_stop or stop
        if stop:
            self.stopped_epoch, self.stopping_reason_message = trainer.current_epoch, verdict.reason
            self._said = False  # a resumed run may stop again
            self._say("stops training", f"ModelCheckpoint(monitor={self.tags[0]!r}, mode='min') keeps that one.")

    def _divide(self, trainer: Trainer, verdict: Decision) -> None:
        resting, self._resting = self._resting > 0, max(0, self._resting - 1)
        if resting or not verdict.stop:
            return
        if scale_lrs(trainer, self.factor, self.min_lr):
            self._said, self._resting = False, self.cooldown
            self._say(f"multiplies the learning rates by {self.factor:g}", "The rule begins anew.")
            self._state = self.rule.start()
        else:
            self._say("would lower the learning rates", f"They are at min_lr={self.min_lr:g} already.")

    def _say(self, what: str, then: str) -> None:
        """Once, until something else happens."""
        if self._said or self.verdict is None:
            return
        self._said = True
        if self.verbose:
            rank_zero_info(
                f"LabelFreeStopping {what}: {self.monitor}: {self.verdict.reason}. Its best look was after epoch "
                f"{self.verdict.best_epoch}. {then}"
            )

    def _tell(self, trainer: Trainer, pl_module: LightningModule, to_loggers: bool = False) -> None:
        """To the monitors on every rank and at every epoch, to the loggers once a look."""
        stop = self.verdict is not None and self.verdict.stop
        values = dict(zip(self.tags, (self._score, float(stop), float(self._best_epoch or 0))))
        pl_module.log_dict(values, logger=False, on_step=False, on_epoch=True)
        if to_loggers and trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(dict(values), step=log_step(trainer, after_epoch=True))

    @property
    def _score(self) -> float:
        return float(-self._bests if self._is_best or not self._bests else 1 - self._bests)

    # ---- for the FactorLensCallback

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """Declarations of the logged scalars, for TensorBoard's layout and help page, and for checks of monitors."""
        declared = []
        for tag, (text, better, chart) in zip(self.tags, DECLARATIONS):
            name = tag.removeprefix(f"{self.prefix}/")
            declared.append(Scalar(name, f"{{prefix}}/{name}", text, better=better, chart=chart, monitored=True))
        return tuple(declared)

    # ---- state

    @property
    def state_key(self) -> str:
        """Distinct for distinct tags."""
        return self._generate_state_key(tag=self.tags[0])

    def state_dict(self) -> dict[str, Any]:
        """Plain types alone: checkpoints are loaded with ``weights_only``."""
        return {
            "rule": repr((self.monitor, self.rule)),
            "state": self._state,
            "bests": self._bests,
            "is_best": self._is_best,
            "best_epoch": self._best_epoch,
            "resting": self._resting,
            "said": self._said,
            "rate": self._rate,
            "ahead": self._ahead,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the checkpoint stopped; a rule with other options begins anew."""
        self._bests, self._is_best = state_dict["bests"], state_dict["is_best"]
        self._best_epoch, self._resting = state_dict["best_epoch"], state_dict["resting"]
        self._said, self._rate, self._ahead = state_dict["said"], state_dict["rate"], state_dict["ahead"]
        if state_dict["rule"] == repr((self.monitor, self.rule)):
            self._state = state_dict["state"]
        else:
            rank_zero_warn(
                f"LabelFreeStopping: the checkpoint's rule was {state_dict['rule']}, now it is "
                f"{(self.monitor, self.rule)!r}; it begins anew."
            )
