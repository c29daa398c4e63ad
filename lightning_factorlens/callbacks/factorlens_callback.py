"""FactorLensCallback: decides when to observe and on which rank, and passes the results on. No mathematics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor, nn

from lightning_factorlens._validation import check_bool, check_choice, check_int
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.callbacks._arguments import check_options, check_sinks
from lightning_factorlens.callbacks._failures import attempt
from lightning_factorlens.callbacks._global_step import as_previous_epoch_end, log_step
from lightning_factorlens.callbacks._module_forward import ModuleForward, as_sentence, reraise_with_hint
from lightning_factorlens.callbacks._monitors import (
    check_monitors,
    early_stoppings,
    foreign_scalars,
    hyperparameters,
    publish_metrics,
    relax_finite_checks,
    restore_finite_checks,
    rewind_wait_count,
)
from lightning_factorlens.callbacks._output_evidence import OutputEvidence, missing_reasons, monitored_tags
from lightning_factorlens.callbacks._planned_ranks import planned_ranks
from lightning_factorlens.callbacks._probe_source import draw_probe
from lightning_factorlens.callbacks._progress import ProgressLine
from lightning_factorlens.callbacks._run_results import pack_results, unpack_results
from lightning_factorlens.callbacks._spawn_results import SpawnResults
from lightning_factorlens.callbacks._support import check_supported, warn_infinite_epochs
from lightning_factorlens.callbacks._validation_stage import ForwardContext, swapped_weights
from lightning_factorlens.capture.forward_fn import ForwardFn, check_forward_fn
from lightning_factorlens.capture.outputs import Outputs, check_outputs
from lightning_factorlens.capture.probe import Probe
from lightning_factorlens.capture.probe_batch import ProbeSource
from lightning_factorlens.config import LensOptions, TensorBoardOptions
from lightning_factorlens.distributed import SingleProcess, get_process_group
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.loggers.base import CompositeSink, Sink, logger_prefix
from lightning_factorlens.loggers.hparams import table_columns, write_hparams
from lightning_factorlens.loggers.labels import check_prefix
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.tables import cost_line, epoch_line, run_report
from lightning_factorlens.loggers.tags import declared_tags, monitored_scalars, undefined_tags
from lightning_factorlens.loggers.text_reports import tag_list
from lightning_factorlens.measurements import (
    OUTPUT_NEEDS,
    Measurement,
    check_measurements,
    default_measurements,
    record_types,
)
from lightning_factorlens.results import Observation
from lightning_factorlens.results._text import layer_table
from lightning_factorlens.run_state import RunState


class FactorLensCallback(Callback):
    """Measures, without labels, how well a network is learning.

    Once an epoch, and once before the first, a fixed probe of unlabeled samples passes through the model, which is left
    bit for bit as it was. Input channels and activations are factorised together at several ranks (Saini and
    Papalexakis 2018, "Characterizing & exploring deep CNN representations using factorization"), the spectrum of every
    convolution, linear layer and attention projection is fitted with a power law (Praggastis et al. 2022, "The SVD of
    convolutional weights"), and the results go to all loggers. The monitored scalars are logged so that Lightning's own
    ``EarlyStopping``, ``ModelCheckpoint`` and ``ReduceLROnPlateau`` can act on them.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[FactorLensCallback(lens=LensOptions(ranks=(1, 4, 16)))], logger=False)

    Args:
        probe: Samples to observe through: a tensor (N, C, H, W), a dict of tensors, a dataset or a loader; labels are
            dropped. None takes the dataset of the validation dataloader.
        probe_size: Largest number of samples in the probe. They pass through the model in batches of at most the
            loader's batch size, and smaller ones where memory does not suffice.
        resample_probe: Whether to draw other samples at every observation. The curves then move with the probe too.
        forward_fn: ``(model, batch) → output``, for models that need more of a batch than one tensor: a function, or
            an object such as ``ForwardArgs(["image", "mask"])``; its method ``inputs(batch)``, if it has one, picks
            the tensor that counts as the input. None calls the model on that tensor alone, on the list of images of
            a detection batch, or on a batch of graphs. Inputs need not be images: others have no latent images and no
            ``consistency``.
        outputs: What the model's output is: ``"classes"`` (scores of classes that exclude each other),
            ``"multilabel"``, ``"regression"``, ``"embedding"``, ``"pixel_classes"``, ``"token_classes"``, ``"none"``;
            or an object such as ``Outputs("classes", key="sex")``. None decides by a softmax in the model, by its
            torchmetrics modules, or by the loss of the first training step. ``consistency`` is measured of classes
            alone.
        every_n_epochs: Observes after every n-th epoch.
        every_n_train_steps: Observes after every n-th optimizer step instead.
        measurements: What to measure; `default_measurements` unless given.
        lens: What to capture and how to factorise it; see `LensOptions`.
        tensorboard: What loggers show besides scalars; see `TensorBoardOptions`.
        sinks: Further objects to which observations are written on rank 0, with methods ``write(observation)`` and
            ``close()``, such as ``JSONLinesSink("curves.jsonl")``, which needs no logger.
        prefix: First part of every tag; two lenses in one Trainer need two prefixes.
        max_overhead: Fraction of the training time that observations may take, e.g. 0.02. An observation that would
            take more is skipped, and tried again when the next one is due. None never skips.
        on_error: What a failure of the lens during training does: ``"warn"`` once and go on, or ``"raise"``.
        verbose: Whether to print the table of layers, a line if an observation takes more than a second (through the
            Trainer's progress bar), and a summary of the run.

    Attributes:
        observation: The last observation, whole; None before the first. After training in child processes
            (``ddp_spawn``, ``ddp_notebook``) it has no tensors but the eigenvalues, and ``probe_batch`` is None.
        history: All observations of the run, without their tensors; ``to_frame(history)`` is their data frame.
        metrics: The monitored scalars as last measured, by tag.
        epoch_metrics: The monitored scalars of the epoch's last observation, from the callback's
            ``on_train_epoch_end`` on; empty where there was none.
        probe_batch: The probe as it was drawn; ``probe_batch.inputs`` are its inputs. None before training.
        state: The run's state: numbers of observations and failures, the selected layers, and the time spent.

    Raises:
        ValueError, TypeError: A wrong argument, at once; patterns that match no layer, before training starts.
        MisconfigurationException: No probe can be found, or the strategy shards the model.

    Logged scalars with the default measurements (``<name>`` is a layer or block, ``r`` a rank):

    {tags}
    """

    def __init__(
        self,
        *,
        probe: ProbeSource | None = None,
        probe_size: int = 256,
        resample_probe: bool = False,
        forward_fn: Callable[[nn.Module, Any], Any] | None = None,
        outputs: str | Outputs | None = None,
        every_n_epochs: int = 1,
        every_n_train_steps: int | None = None,
        measurements: Sequence[Measurement] | None = None,
        lens: LensOptions | None = None,
        tensorboard: TensorBoardOptions | None = None,
        sinks: Iterable[Sink] = (),
        prefix: str = "factorlens",
        max_overhead: float | None = None,
        on_error: str = "warn",
        verbose: bool = True,
    ) -> None:
        super().__init__()
        check_int("probe_size", probe_size, 1)
        check_int("every_n_epochs", every_n_epochs, 1)
        check_int("every_n_train_steps", every_n_train_steps, 1, or_none="observations at the end of epochs")
        check_bool("resample_probe", resample_probe)
        check_bool("verbose", verbose)
        check_choice("on_error", on_error, ("warn", "raise"))
        self.probe = probe
        self.probe_size = probe_size
        self.resample_probe = resample_probe
        self.forward_fn: ForwardFn | None = check_forward_fn(forward_fn)
        self.outputs = check_outputs(outputs)
        self.every_n_epochs = every_n_epochs
        self.every_n_train_steps = every_n_train_steps
        self.measurements = check_measurements(default_measurements() if measurements is None else measurements)
        self.options = check_options("lens", lens, LensOptions)
        self.tensorboard = check_options("tensorboard", tensorboard, TensorBoardOptions)
        self.sinks = check_sinks(sinks)
        self.prefix = check_prefix(prefix)
        self.max_overhead = OverheadBudget(max_overhead).max_fraction
        self.on_error = on_error
        self.verbose = verbose
        self.lens: FactorLens | None = None
        self.probe_batch: Probe | None = None
        self._process_group = SingleProcess()
        self._sink = CompositeSink()
        self._is_running = False
        self._relaxed_stoppings: list[EarlyStopping] = []
        self._spawn_results = SpawnResults()
        self._observation: Observation | None = None
        self._state = self._new_state()
        self._evidence = OutputEvidence(self.measurements)

    def _new_state(self) -> RunState:
        tags = [scalar.tag for measurement in self.measurements for scalar in measurement.scalars if scalar.monitored]
        measured = repr((tags, self.options.ranks))
        return RunState(OverheadBudget(self.max_overhead), repr(self.options.layers), measured)

    # ---- before training: wrong arguments and unsupported Trainers raise here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses unsupported Trainers, and writes the run's row in HParams before Lightning writes its own."""
        check_supported(trainer)
        if stage != "fit":
            return
        self._spawn_results.begin(trainer, partial(self._end_run, trainer))
        self.state.n_failed = 0
        if self.tensorboard.layout and trainer.is_global_zero:
            with self._guarded():
                ranks = planned_ranks(trainer, self.probe, self.probe_size, self.options)
                columns = table_columns(self.measurements, ranks, self.prefix)
                for logger in trainer.loggers:
                    write_hparams(logger, hyperparameters(trainer, pl_module), columns, logger_prefix(logger))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the probe, selects the layers, and observes once before the first step."""
        if trainer.global_step == 0:
            n_failed = self.state.n_failed
            self.state = self._new_state()  # a second `fit` is another run
            self.state.n_failed = n_failed  # in `setup`
        self._evidence = OutputEvidence(self.measurements)
        if self.every_n_train_steps is None:
            warn_infinite_epochs(trainer)
        state = self.state
        state.budget.start()
        self.lens = None  # that of an earlier `fit` observed another module
        self._process_group = get_process_group(pl_module.device, trainer.world_size)
        self._sink = self._open_sinks(trainer) if trainer.is_global_zero else CompositeSink()
        self._is_running = True
        if state.metrics:
            self._ensure_prepared(trainer, pl_module, before_training=True)
            self._log_monitored(trainer)
        else:  # also where the metrics are another lens's, in a resumed run
            state.epochs = trainer.current_epoch
            step = log_step(trainer, after_epoch=False)
            self._observe(trainer, pl_module, state.epochs, step, before_training=True)
            state.epoch_metrics = {}  # no epoch has ended yet
        self._check_monitors(trainer)
        if state.epochs < trainer.current_epoch:
            self._catch_up(trainer, pl_module)

    def _ensure_prepared(self, trainer: Trainer, pl_module: LightningModule, before_training: bool = False) -> None:
        """Prepares the lens unless that has been done in this run."""

        def prepare() -> None:
            if self.lens is None and (trainer.is_global_zero or self._process_group.world_size > 1):
                with self.state.budget.exclude_from_price():
                    self._prepare(trainer, pl_module)

        self._attempt(trainer, prepare, before_training)
        self._evidence.is_pending = trainer.strategy.broadcast(self._evidence.is_pending)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the lens, draws the probe and selects the layers, which in a resumed run are those selected before."""
        state = self.state
        forward = ModuleForward(trainer, pl_module, self.forward_fn)
        lens = FactorLens(
            pl_module,
            self.options,
            self.measurements,
            forward_fn=forward,
            forward_context=ForwardContext(trainer),
            process_group=self._process_group,
            state=state,
            outputs=self.outputs,
        )
        swap = swapped_weights(trainer, pl_module)
        if swap is not None:
            rank_zero_warn(
                f"FactorLens does not call {swap}, with which validation uses other weights than training. The curves "
                "are those of the weights that are trained."
            )
        with self._process_group.synchronized_errors():
            self.probe_batch = self._draw(trainer, pl_module, forward)
            if not state.update_probe(self.probe_batch.inputs) and not self.resample_probe:
                rank_zero_warn(
                    "FactorLens: the probe is not the one that the checkpoint was written with, so the curves may "
                    "jump. Is the validation set split or shuffled anew in every run? Fix its seed, or pass `probe=` a "
                    "tensor."
                )
            with reraise_with_hint(self.probe_batch, self.forward_fn):
                table = lens.select_layers(self.probe_batch, state.layers)
            state.layers = [layer.name for layer in table if layer.selected]
            self._evidence.start(lens)
            if not self._evidence.is_pending:
                state.output_decision = lens.output_decision
            ranks = lens.options_for(self.probe_batch).ranks
            if self.verbose and ranks != self.options.ranks:
                rank_zero_info(
                    f"FactorLens: the default ranks are those up to the number of samples, {len(self.probe_batch)}: "
                    f"{', '.join(map(str, ranks))}."
                )
            if self.verbose:
                line = self._evidence.line
                rank_zero_info(f"FactorLens observes these layers:\n{layer_table(table)}\n{line}")
        self.lens = lens

    def _draw(self, trainer: Trainer, pl_module: LightningModule, forward: ModuleForward) -> Probe:
        """Draws the probe: equal samples every time, or with ``resample_probe`` other ones."""
        seed = self.options.seed
        if self.resample_probe:
            seed += self.state.n_measured
        drawn = draw_probe(trainer, self.probe, self.probe_size, seed, forward, self._process_group, self.verbose)
        return drawn.to(pl_module.device)

    def _open_sinks(self, trainer: Trainer) -> CompositeSink:
        loggers = LoggerSink(
            trainer.loggers,
            self.measurements,
            self.prefix,
            self.tensorboard,
            extra_scalars=foreign_scalars(trainer, self.prefix),
            notify=rank_zero_info if self.verbose else None,
            history=self.state.history,
        )
        return CompositeSink(loggers, *self.sinks)

    def _catch_up(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the observation of an epoch end that Lightning skips.

        Lightning resumes behind the end of an epoch whose last batch wrote the checkpoint. The observation that was due
        is made before any further training, and the callbacks that monitor it are called.
        """
        with as_previous_epoch_end(trainer):
            self.on_train_epoch_end(trainer, pl_module)
            for callback in early_stoppings(trainer, self.prefix):
                callback.on_train_epoch_end(trainer, pl_module)

    def _check_monitors(self, trainer: Trainer) -> None:
        available = {*self.monitored_tags, *self.pending_metrics}
        check_monitors(
            trainer,
            self.prefix,
            available,
            self.missing_reasons,
            observes_at_epoch_end=self.every_n_train_steps is None,
        )

    # ---- during training: an error here does not end the training, unless on_error="raise"

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Reads from the graph of the first training step's loss what the model's output is."""
        self._evidence.see_loss(pl_module, loss)

    def _settle_outputs(self, trainer: Trainer, pl_module: LightningModule, is_last_chance: bool) -> None:
        """Decides how the output is read, and publishes the observation that waited for the decision.

        Raises:
            MisconfigurationException: A callback monitors a scalar that does not exist, as the decision has shown.
        """
        decision = trainer.strategy.broadcast(self._evidence.decide(pl_module, is_last_chance))
        if decision is None:
            return
        self.state.output_decision = decision
        held = self._evidence.finish(decision)
        if self.verbose:
            rank_zero_info(f"FactorLens: {decision.line}")
        published: list[dict[str, float]] = []

        def publish() -> None:
            with self._process_group.synchronized_errors():
                if held is not None:
                    observation, warm_start = held
                    self.observation = observation
                    self.state.replace_last(observation, warm_start)
                    published.append(self._monitored_values(observation))
                    self._write()

        self._attempt(trainer, publish)
        metrics = trainer.strategy.broadcast(published[0] if published else None)
        self.state.metrics.update(metrics or {})
        self._log_monitored(trainer)
        self._check_monitors(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Observes every n steps; an accumulated batch repeats its step and is not observed twice."""
        n = self.every_n_train_steps
        # several optimizers take several steps a batch
        is_due = n is not None and trainer.global_step // n > self.state.last_step // n
        if self._evidence.is_pending:
            self._settle_outputs(trainer, pl_module, is_last_chance=is_due)
        if is_due:
            self._observe(trainer, pl_module, trainer.current_epoch, log_step(trainer, after_epoch=False))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Observes every n epochs; where an epoch has no new observation, patience does not count it."""
        state = self.state
        state.epochs = trainer.current_epoch + 1
        is_new = state.measured_this_epoch
        if self._evidence.is_pending:
            self._settle_outputs(trainer, pl_module, is_last_chance=True)
        if self.every_n_train_steps is None and state.epochs % self.every_n_epochs == 0:
            is_new = self._observe(trainer, pl_module, state.epochs, log_step(trainer, after_epoch=True))
        state.measured_this_epoch = False
        if not is_new:
            state.epoch_metrics = {}
            rewind_wait_count(trainer, self.prefix)

    def _observe(
        self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int, before_training: bool = False
    ) -> bool:
        """Makes an observation on all ranks or on none; rank 0 writes it, and its scalars are sent to all.

        Returns:
            Whether there is a new observation.
        """
        state = self.state
        state.last_step = trainer.global_step
        if not self._can_afford(trainer):
            return False
        self._ensure_prepared(trainer, pl_module, before_training)
        start = state.budget.elapsed_seconds()
        measured: list[dict[str, float]] = []

        def measure_and_write() -> None:
            if self.lens is not None:
                measured.append(self._measure(self.lens, trainer, pl_module, epoch, step))
                with self._process_group.synchronized_errors():
                    if not self._evidence.is_pending:
                        self._write()

        self._attempt(trainer, measure_and_write, before_training)
        metrics = trainer.strategy.broadcast(measured[0] if measured else None)
        state.publish(metrics)
        self._log_monitored(trainer)
        state.budget.record(state.budget.elapsed_seconds() - start)
        return metrics is not None

    def _attempt(self, trainer: Trainer, work: Callable[[], None], before_training: bool = False) -> None:
        """Does some work on all ranks, see `attempt`, and warns where it has failed."""
        failure = attempt(trainer, work, self.on_error, before_training)
        if failure is not None:
            self._warn(failure)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Warns of a failure inside the context, which need not happen on all ranks."""
        try:
            yield
        except Exception as error:
            self._warn(error)

    def _can_afford(self, trainer: Trainer) -> bool:
        """Whether the budget allows an observation, by the clock of rank 0; the first skipped one is explained."""
        budget = self.state.budget
        if self.max_overhead is None or trainer.strategy.broadcast(budget.can_afford()):
            return True
        budget.n_skipped += 1
        if self.verbose and budget.n_skipped == 1:
            rank_zero_info(
                f"FactorLens skips an observation: one takes {budget.estimated_seconds():.1f} s, which max_overhead="
                f"{self.max_overhead:g} allows after {budget.seconds_until_affordable():.0f} s more of training. From "
                f"now on it observes as often as that allows; {self.prefix}/skipped counts, and patience counts "
                "observations."
            )
        return False

    def _measure(
        self, lens: FactorLens, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int
    ) -> dict[str, float]:
        """Makes one observation and returns its monitored scalars.

        Nothing is kept before all ranks have succeeded: ranks that start from different states would diverge.
        """
        assert self.probe_batch is not None
        budget = self.state.budget
        start = budget.elapsed_seconds()
        progress = ProgressLine(trainer, f"FactorLens observes, epoch {epoch} ...", self.verbose)
        with self._process_group.synchronized_errors(), progress:
            if self.resample_probe and self.state.n_measured:
                assert isinstance(lens.forward_fn, ModuleForward)
                self.probe_batch = self._draw(trainer, pl_module, lens.forward_fn)
                lens.reset()
            self.probe_batch = self.probe_batch.to(pl_module.device)
            observation, warm_start = lens.measure(self.probe_batch, epoch, step)
            warm_start = warm_start.cpu()
            observation = observation.with_record("cost", budget.complete(observation["cost"], start))
            observation, warm_start = self._evidence.hold(observation, warm_start)
            metrics = self._monitored_values(observation)
        progress.finish(lambda: f"FactorLens: {epoch_line(observation, self.measurements)}")
        self.observation = observation
        self.state.record(observation, warm_start)
        return metrics

    def _monitored_values(self, observation: Observation) -> dict[str, float]:
        """The monitored scalars of an observation; NaN for those that it lacks and others have had, or may have."""
        metrics = monitored_scalars(observation, self.measurements, self.prefix)
        of_outputs = monitored_tags(self.measurements, OUTPUT_NEEDS, self.prefix)
        for tag in undefined_tags(observation, self.measurements, self.prefix):
            if tag in self.state.metrics or tag in of_outputs:
                metrics[tag] = math.nan
        return metrics

    def _write(self) -> None:
        assert self.observation is not None
        budget = self.state.budget
        start = budget.elapsed_seconds()
        try:
            self._sink.write(self.observation)
        finally:
            budget.write_seconds = budget.elapsed_seconds() - start

    def _log_monitored(self, trainer: Trainer) -> None:
        """Makes the values known to callbacks that monitor; the sinks write them at the observation's own step."""
        state = self.state
        if state.metrics:
            restore_finite_checks(self._relaxed_stoppings)
            undefined = [tag for tag, value in state.metrics.items() if math.isnan(value)]
            self._relaxed_stoppings += relax_finite_checks(trainer, self.prefix, undefined)
            publish_metrics(trainer, state.metrics)
        else:  # the first observation has failed: a callback that finds no value at all would end the training
            self._relaxed_stoppings += relax_finite_checks(trainer, self.prefix)
            publish_metrics(trainer, dict.fromkeys(self.monitored_tags, math.nan))

    def _warn(self, failure: Exception) -> None:
        state = self.state
        state.n_failed += 1
        if state.n_failed == 1:
            values = "with the last observation's values" if state.metrics else "without values until one succeeds"
            rank_zero_warn(
                f"FactorLens could not observe: {as_sentence(f'{type(failure).__name__}: {failure}')} Training goes on "
                f"{values}, and further failures are not reported; pass on_error='raise' for a traceback."
            )

    # ---- after training

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the sinks and prints a summary of the run."""
        self._end_run(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends the run as `on_fit_end` does, after an error or an interrupt."""
        self._end_run(trainer)

    def _end_run(self, trainer: Trainer) -> None:
        """Closes the sinks and prints a summary, once in a run; nothing here is a collective operation."""
        if not self._is_running:
            return
        self._is_running = False
        restore_finite_checks(self._relaxed_stoppings)
        if self.lens is not None:
            self.lens.process_group = SingleProcess()  # later observations may be made by one process alone
        state = self.state
        with state.budget.exclude_from_price():
            if self._evidence.is_pending and self.observation is not None:  # there was no training step
                with self._guarded():
                    self._write()
            with self._guarded():
                self._sink.close()
        if self.verbose and trainer.is_global_zero and state.n_measured:
            with self._guarded():
                cost = cost_line(state.n_measured, state.n_failed, state.budget)
                rank_zero_info(run_report(state.history, self.measurements, self.prefix, cost))
        with self._guarded():
            self._spawn_results.write(trainer, lambda: pack_results(state, self.observation))

    def _collect_results(self) -> None:
        """Takes over what a child process has left."""
        try:
            results = self._spawn_results.take()
            if results is None:
                return
            types = record_types(self.measurements)
            self._state, self._observation = unpack_results(results, self._new_state(), types)
        except Exception as error:
            self._warn(error)

    # ---- for other callbacks, equal on every rank

    @property
    def state(self) -> RunState:
        """The run's state; after training in child processes, that of the first of them."""
        self._collect_results()
        return self._state

    @state.setter
    def state(self, state: RunState) -> None:
        self._state = state

    @property
    def observation(self) -> Observation | None:
        """The last observation; after training in child processes without its tensors."""
        self._collect_results()
        return self._observation

    @observation.setter
    def observation(self, observation: Observation | None) -> None:
        self._observation = observation

    @property
    def metrics(self) -> dict[str, float]:
        """The monitored scalars as last measured, by tag."""
        return dict(self.state.metrics)

    @property
    def pending_metrics(self) -> frozenset[str]:
        """Tags that the next observation may have for the first time, once the training step has told the outputs."""
        return monitored_tags(self.measurements, self._evidence.coming_needs, self.prefix)

    @property
    def missing_reasons(self) -> dict[str, str]:
        """Why the last observation has no value, by the tags of the scalars that it lacks."""
        return missing_reasons(self.observation, self.measurements, self.prefix)

    @property
    def epoch_metrics(self) -> dict[str, float]:
        """The monitored scalars of the epoch's last observation; empty where there was none."""
        return dict(self.state.epoch_metrics)

    @property
    def monitored_tags(self) -> list[str]:
        """The tags of the monitored scalars; before the first observation, those that the measurements declare."""
        return list(self.state.metrics) or declared_tags(self.measurements, self.options.ranks, self.prefix)

    @property
    def history(self) -> Sequence[Observation]:
        """All observations of the run, without their tensors."""
        return self.state.history

    # ---- state

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint, distinct for distinct prefixes."""
        return self._generate_state_key(prefix=self.prefix)

    def state_dict(self) -> dict[str, Any]:
        """The run's state."""
        return self.state.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where the checkpoint stopped; a state that cannot be read, as an older version's, is ignored.

        Raises:
            ValueError: The state cannot be read, and ``on_error="raise"``.
        """
        self.state = self._new_state()
        try:
            self.state = self.state.from_state_dict(state_dict, record_types(self.measurements))
        except Exception as error:
            reason = f"found no state of this lens in the checkpoint: {type(error).__name__}: {error}"
            if self.on_error == "raise":
                raise ValueError(f"FactorLens {reason}; resume without the lens, or with on_error='warn'.") from error
            rank_zero_warn(f"FactorLens {reason}. Training goes on, the lens starts anew.")


FactorLensCallback.__doc__ = (FactorLensCallback.__doc__ or "").format(tags=tag_list(default_measurements()).lstrip())
