"""A callback for the Trainer of transformers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    if error.name != "transformers":
        raise
    raise ModuleNotFoundError(
        "HuggingFaceCallback needs transformers, which is not installed; run pip install transformers.",
        name="transformers",
    ) from error

from lightning_factorlens._validation import check_choice, check_int, raised_by_package
from lightning_factorlens.argument_advice import FOR_TRANSFORMERS
from lightning_factorlens.capture.forward_fn import ForwardFn, check_forward_fn
from lightning_factorlens.capture.outputs import Outputs, check_outputs
from lightning_factorlens.config import PROBE_SIZE, LensOptions, options_with
from lightning_factorlens.integrations._evaluation_metrics import (
    EVALUATION,
    check_monitored,
    evaluation_mark,
    keep_patience,
    monitored_name,
)
from lightning_factorlens.integrations._trainer_observer import TrainerObserver
from lightning_factorlens.integrations._training_step import WatchedTrainingStep, is_watched
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.loggers.base import CompositeSink, Sink
from lightning_factorlens.loggers.declared_tags import later_tags
from lightning_factorlens.loggers.detail import at_detail
from lightning_factorlens.loggers.missing_tags import missing_reasons
from lightning_factorlens.loggers.tags import PREFIX, tagged_values
from lightning_factorlens.measurements import DETAILS, Detail, Measurement, check_measurements, default_measurements
from lightning_factorlens.results import History
from lightning_factorlens.run_state import RunState
from lightning_factorlens.sampling.probe_batch import ProbeSource

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments


class HuggingFaceCallback(TrainerCallback):
    """Observes a model at every evaluation of transformers' Trainer, or at the end of every epoch without evaluations.

    The scalars are metrics of that evaluation, as ``eval_factorlens/consistency``: the Trainer's logs and loggers have
    them, and ``metric_for_best_model``, ``EarlyStoppingCallback`` and ``ReduceLROnPlateau`` can act on them. Without
    evaluations they are logged alone. The weights, the state of the optimizer, the random numbers and the order of the
    data are what they are without the callback.

    Args:
        probe: A dataset, a loader or a batch of unlabelled samples; None for ``probe_size`` samples of the Trainer's
            first ``eval_dataset``, or of its ``train_dataset`` where there is none, collated as the Trainer does it and
            without their labels.
        probe_size: Number of samples that are drawn, always the same ones.
        measurements: What to measure; `default_measurements` unless given.
        lens: What to capture and how to factorise it.
        outputs: What the model's output is, see `FactorLens`; None for what the class of the model says.
        forward_fn: ``(model, batch) → output``; None calls the model with the entries of the batch that it takes.
        prefix: First part of every name.
        detail: Which scalars are logged: ``"summary"``, ``"layers"`` or ``"all"``.
        sinks: What observations are written to besides, such as `JSONLinesSink`, which `factorlens report` reads.
        on_error: ``"warn"``: a failure of the lens is reported once, and training goes on with the last values.
            ``"raise"``: it ends the run. A wrong configuration ends the run before the first step in either case.
        **lens_options: Fields of `LensOptions`, such as ``ranks=(1, 4)``.

    Attributes:
        lens: The lens; None before training.
        history: The observations of the run, the first one before training, without their tensors.

    Raises:
        ValueError, TypeError: A wrong argument; the message names it.
    """

    def __init__(
        self,
        probe: ProbeSource | None = None,
        probe_size: int = PROBE_SIZE,
        measurements: Sequence[Measurement] | None = None,
        lens: LensOptions | None = None,
        outputs: str | Outputs | None = None,
        forward_fn: ForwardFn | None = None,
        prefix: str = PREFIX,
        detail: Detail = "summary",
        sinks: Sequence[Sink] = (),
        on_error: str = "warn",
        **lens_options: Any,
    ) -> None:
        check_int("probe_size", probe_size, 1)
        check_choice("detail", detail, DETAILS)
        check_choice("on_error", on_error, ("warn", "raise"))
        check_outputs(outputs)
        self.probe_source = probe
        self.probe_size = probe_size
        self.measurements = check_measurements(default_measurements() if measurements is None else measurements)
        self.options = options_with(lens, lens_options, "lens", FOR_TRANSFORMERS, HuggingFaceCallback)
        self.outputs = outputs
        self.forward_fn = check_forward_fn(forward_fn)
        self.prefix = prefix
        self.detail = detail
        self.on_error = on_error
        self.sinks = CompositeSink(*sinks)
        self.state = RunState()
        self._trainer: Trainer | None = None
        self._observer: TrainerObserver | None = None
        self._values: dict[str, float] = {}
        self._observed_step: int | None = None
        self._is_training = False
        self._has_failed = False

    @property
    def lens(self) -> FactorLens | None:
        """The lens of the run."""
        return None if self._observer is None else self._observer.lens

    @property
    def history(self) -> History:
        """The observations of the run."""
        return self.state.history

    def attach(self, trainer: Trainer) -> HuggingFaceCallback:
        """Adds the callback to a Trainer, before all others, so that these receive its scalars.

        The Trainer's ``training_step`` is wrapped, so that the stop signals have the mean training loss since the last
        observation: that of `WatchedTrainingStep`. It returns what it returned before.

        Args:
            trainer: The Trainer, before ``train()``; attach the callback again where another one has had it since.

        Returns:
            The callback.
        """
        callbacks = trainer.callback_handler.callbacks
        if self in callbacks:  # attached before, or passed as callbacks=[…], which puts it behind others
            callbacks.remove(self)
        callbacks.insert(0, self)
        if not is_watched(trainer.training_step, self._receive_loss):
            watched: Any = trainer  # whose type forbids another method in place of this one
            watched.training_step = WatchedTrainingStep(trainer, self._receive_loss)
        self._trainer = trainer
        return self

    def _receive_loss(self, trainer: Trainer, loss: Any) -> None:
        """Sums up the losses of training steps on their device; see `WatchedTrainingStep`."""
        is_own = trainer is self._trainer
        if is_own and self._is_training and self._observer is not None:
            self._attempt(lambda: self.state.training_loss.add(loss, trainer.current_gradient_accumulation_steps))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Selects the layers, and makes the observation before training unless the run is resumed.

        Raises:
            ValueError, TypeError: A wrong configuration; the message names the argument.
        """
        trainer = self._trainer
        if trainer is None:
            raise ValueError(
                "callbacks: found a HuggingFaceCallback that knows no Trainer; write HuggingFaceCallback(…)"
                ".attach(trainer) in place of Trainer(callbacks=[…]), so that its scalars reach the other callbacks."
            )
        if trainer.args is not args:
            raise ValueError(
                "callbacks: found a HuggingFaceCallback that has been attached to another Trainer since; make one for "
                "each Trainer, or call attach(trainer) again before train()."
            )
        self.state = RunState()
        self._observer = None
        self._values = {}
        self._observed_step = None

        def prepare() -> None:
            self._observer = TrainerObserver(self, trainer)
            if state.global_step == 0:
                self._observe(state)

        self._has_failed = not self._attempt(prepare, before_training=True)
        if not self._has_failed and state.global_step == 0:
            later = later_tags(self.measurements, self.options.ranks, self.prefix)
            reasons = missing_reasons(self.history[-1], self.measurements, self.options.ranks, self.prefix)
            check_monitored(args, self._values, later, self.prefix, reasons)
        self._is_training = True

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Logs the observation before training, when all callbacks have been told that training begins."""
        if self._trainer is not None and self._values and state.global_step == 0:
            self._trainer.log(dict(self._values))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: MutableMapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Observes at an evaluation, and adds the scalars to its metrics, which are the same object as ``logs``."""
        if not self._is_training or logs is None or not self._is_own_evaluation(logs):
            return
        if self._observer is not None and self._observed_step != state.global_step:
            self._has_failed = not self._attempt(lambda: self._observe(state))
        values = dict(self._values)
        name = monitored_name(args)
        if name not in logs and name.startswith(f"{EVALUATION}{self.prefix}"):
            values.setdefault(name, math.nan)  # the Trainer ends the run where the metric is missing
        logs.update(values)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(values)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keeps a failed observation from ending the training: the patience of others does not count it."""
        is_monitored = monitored_name(args).startswith(f"{EVALUATION}{self.prefix}")
        if self._is_training and self._has_failed and is_monitored and self._is_own_evaluation(metrics or {}):
            keep_patience(self._trainer)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Observes where the run has no evaluations."""
        if self._observer is None or self._trainer is None or args.eval_strategy != "no":
            return
        if self._attempt(lambda: self._observe(state)):
            self._trainer.log(dict(self._values))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Closes the sinks.

        Raises:
            Exception: A sink has failed, with ``on_error="raise"``.
        """
        self._is_training = False
        if self._observer is not None:
            self._observer.end_run()
            self._attempt(self.sinks.close)

    def _is_own_evaluation(self, metrics: Mapping[str, float]) -> bool:
        """Whether these are the metrics that the scalars belong to."""
        return self._trainer is not None and evaluation_mark(self._trainer.eval_dataset) in metrics

    def _observe(self, state: TrainerState) -> None:
        """Makes one observation and keeps its scalars."""
        assert self._observer is not None
        self._observed_step = state.global_step
        observation = self._observer.observe(round(state.epoch or 0.0), state.global_step)
        tagged = at_detail(list(tagged_values(observation, self.measurements, self.prefix)), self.detail)
        self._values = {f"{EVALUATION}{entry.tag}": entry.value.value for entry in tagged}
        if state.is_world_process_zero:
            self.sinks.write(observation)

    def _attempt(self, work: Callable[[], object], before_training: bool = False) -> bool:
        """Does some work; a failure is reported once, and a wrong configuration is raised before training."""
        try:
            work()
        except Exception as error:
            is_misconfigured = isinstance(error, (ValueError, TypeError)) and raised_by_package(error)
            is_arithmetic = isinstance(error, ArithmeticError)  # about values, which training may change
            if self.on_error == "raise" or (before_training and is_misconfigured and not is_arithmetic):
                raise
            self.state.n_failed += 1
            if self.state.n_failed == 1:
                warnings.warn(
                    f"FactorLens could not observe: {type(error).__name__}: {error} Training goes on with the last "
                    "observation's values; pass on_error='raise' for a traceback.",
                    stacklevel=2,
                )
            return False
        return True
