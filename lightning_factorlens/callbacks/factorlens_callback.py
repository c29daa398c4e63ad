"""FactorLensCallback: decides when to observe and on which rank, and passes the results on. No mathematics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_factorlens._validation import check_bool, check_choice, check_int
from lightning_factorlens.argument_advice import FOR_LIGHTNING
from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.budget import DEFAULT_FRACTION, OverheadBudget
from lightning_factorlens.callbacks._arguments import check_cadence, check_options, check_sinks, settings_text
from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._failures import guarded, raise_everywhere
from lightning_factorlens.callbacks._global_step import as_previous_epoch_end, log_step
from lightning_factorlens.callbacks._hp_metric import may_log_hp_metric
from lightning_factorlens.callbacks._last_observation import LastObservation
from lightning_factorlens.callbacks._monitors import (
    check_monitors,
    early_stoppings,
    foreign_scalars,
    hyperparameters,
    rewind_wait_count,
    tell_observation,
)
from lightning_factorlens.callbacks._observation_planner import ObservationPlanner
from lightning_factorlens.callbacks._observer import Observer
from lightning_factorlens.callbacks._output_evidence import tags_that_need
from lightning_factorlens.callbacks._planned_ranks import planned_ranks
from lightning_factorlens.callbacks._preparation import PreparedLens
from lightning_factorlens.callbacks._publisher import Publisher
from lightning_factorlens.callbacks._spawn_results import SpawnResults
from lightning_factorlens.callbacks._support import check_supported, warn_infinite_epochs
from lightning_factorlens.callbacks._unfinished import UnfinishedObservation
from lightning_factorlens.callbacks._validation_capture import ValidationCapture
from lightning_factorlens.capture.forward_fn import ForwardFn, check_forward_fn
from lightning_factorlens.capture.outputs import Outputs, check_outputs
from lightning_factorlens.config import PROBE_SIZE, LensOptions, TensorBoardOptions, options_with
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.loggers.base import Sink, logger_prefix
from lightning_factorlens.loggers.hparams import table_columns, write_hparams
from lightning_factorlens.loggers.labels import check_prefix
from lightning_factorlens.loggers.missing_tags import missing_reasons
from lightning_factorlens.loggers.text_reports import tag_list
from lightning_factorlens.measurements import (
    DETAILS,
    Detail,
    Measurement,
    check_measurements,
    default_measurements,
)
from lightning_factorlens.results import HandedOver, Observation, StoppingDecision
from lightning_factorlens.run_state import RunState
from lightning_factorlens.sampling.probe_batch import ProbeSource


class FactorLensCallback(Callback):
    """Measures, without labels, how well a network is learning.

    Once an epoch, and once before the first, a fixed probe of unlabelled samples passes through the model, which is
    left bit for bit as it was. Input channels and activations are factorised together at several ranks (Saini and
    Papalexakis 2018, "Characterizing & exploring deep CNN representations using factorization"), the spectrum of every
    convolution, linear layer and attention projection is fitted with a power law (Praggastis et al. 2022, "The SVD of
    convolutional weights"), and the results go to all loggers. The monitored scalars are logged so that Lightning's own
    ``EarlyStopping``, ``ModelCheckpoint`` and ``ReduceLROnPlateau`` can act on them.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[FactorLensCallback(ranks=(1, 4, 16))], logger=False)

    Args:
        probe: Samples to observe through: a tensor (N, C, H, W), a dict of tensors, a dataset or a loader; labels are
            dropped. None takes the dataset of the validation dataloader.
        probe_size: Largest number of samples in the probe. They pass through the model in batches of at most the
            loader's batch size, and smaller ones where memory does not suffice.
        resample_probe: Whether to draw other samples at every observation. The curves then move with the probe too.
        forward_fn: ``(model, batch) → output``, for models that need more of a batch than one tensor: a function, or
            an object such as ``ForwardArgs(["image", "mask"])``; its method ``inputs(batch)``, if it has one, picks
            the tensor that counts as the input. None calls the model on that tensor alone, on the list of images of
            a detection batch, on a batch of graphs, or as ``model(**batch)`` on a dictionary whose keys are parameters
            of ``forward``. Inputs need not be images: others have no latent images and no
            ``consistency``.
        outputs: What the model's output is: ``"classes"`` (scores of classes that exclude each other),
            ``"multilabel"``, ``"regression"``, ``"embedding"``, ``"pixel_classes"``, ``"token_classes"``, ``"none"``;
            or an object such as ``Outputs("classes", key="sex")``. None decides by a softmax in the model, by its
            torchmetrics modules, or by the loss of the first training step. ``consistency`` is measured of classes
            alone.
        every_n_epochs: Observes after every n-th epoch; 1 unless one of the two is given.
        every_n_train_steps: Observes after every n-th optimizer step instead.
        reuse_validation: Whether an observation takes the activations of the probe out of the validation pass before
            it, and makes one forward pass less. None does so where they have once been found equal, bit for bit, to
            those of a pass of the lens's own; True also where they differ by at most 1e-6 of the largest value; False
            never does. See "Cost of an observation" in docs/scale.md for the conditions.
        measurements: What to measure; `default_measurements` unless given.
        lens: What to capture and how to factorise it; see `LensOptions`.
        tensorboard: What loggers show besides scalars; see `TensorBoardOptions`.
        sinks: Further objects to which observations are written on rank 0, with methods ``write(observation)`` and
            ``close()``, such as ``JSONLinesSink("curves.jsonl")``, which needs no logger.
        prefix: First part of every tag; two lenses in one Trainer need two prefixes.
        detail: Which scalars loggers get: ``"summary"``, at most 60 with the default measurements, whatever the
            network; ``"layers"``, also a few for each layer, and histograms; ``"all"``, every number. Data frames,
            JSON lines and what other callbacks can monitor have every number at each level.
        max_overhead: Fraction of all time that full observations and figures may take, between 0 and 1. At every due
            time the signal is measured: what callbacks, stopping rules and schedulers of the Trainer monitor, and
            ``consistency``. All other measurements are made too, and figures drawn, where the time that has passed
            covers their price; the first observation of a run and its last one are full in any case. When a run stops
            does therefore not depend on the speed of the machine. None makes every observation full, for curves that
            do not depend on it either.
        background: Whether spectra are computed and figures drawn on a thread beside the training, from copies of the
            weights, and logged a little later with the observation's own step. Training waits for values that a
            callback, rule or scheduler monitors, and before a checkpoint. With several processes figures alone are
            drawn there. False: training always waits.
        on_error: What a failure of the lens during training does: ``"warn"`` once and go on, or ``"raise"``. Where a
            full observation has failed, the signal alone is measured in its place.
        verbose: Whether to print the table of layers, a line if an observation takes more than a second (through the
            Trainer's progress bar), and a summary of the run.
        **lens_options: Fields of `LensOptions`, such as ``ranks=(1, 4)``, which change those of ``lens``.

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
        MisconfigurationException: No probe can be found, or the strategy is one of XLA.

    Logged scalars with the default measurements (``<name>`` is a layer or block, ``r`` a rank):

    {tags}
    """

    def __init__(
        self,
        *,
        probe: ProbeSource | None = None,
        probe_size: int = PROBE_SIZE,
        resample_probe: bool = False,
        forward_fn: Callable[[nn.Module, Any], Any] | None = None,
        outputs: str | Outputs | None = None,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        reuse_validation: bool | None = None,
        measurements: Sequence[Measurement] | None = None,
        lens: LensOptions | None = None,
        tensorboard: TensorBoardOptions | None = None,
        sinks: Iterable[Sink] = (),
        prefix: str = "factorlens",
        detail: Detail = "summary",
        max_overhead: float | None = DEFAULT_FRACTION,
        background: bool = True,
        on_error: str = "warn",
        verbose: bool = True,
        **lens_options: Any,
    ) -> None:
        super().__init__()
        check_int("probe_size", probe_size, 1)
        check_cadence(every_n_epochs, every_n_train_steps)
        check_bool("resample_probe", resample_probe)
        check_bool("background", background)
        check_bool("verbose", verbose)
        if reuse_validation is not None:
            check_bool("reuse_validation", reuse_validation)
        check_choice("on_error", on_error, ("warn", "raise"))
        check_choice("detail", detail, DETAILS)
        self.probe = probe
        self.probe_size = probe_size
        self.resample_probe = resample_probe
        self.forward_fn: ForwardFn | None = check_forward_fn(forward_fn)
        self.outputs = check_outputs(outputs)
        self.every_n_epochs = 1 if every_n_epochs is None else every_n_epochs
        self.every_n_train_steps = every_n_train_steps
        self.reuse_validation = reuse_validation
        self.measurements = check_measurements(default_measurements() if measurements is None else measurements)
        self.options = options_with(lens, lens_options, "lens", FOR_LIGHTNING, FactorLensCallback)
        self.tensorboard = check_options("tensorboard", tensorboard, TensorBoardOptions)
        self.sinks = check_sinks(sinks)
        self.prefix = check_prefix(prefix)
        self.detail = detail
        self.max_overhead = OverheadBudget(max_overhead).max_fraction
        self.background = background
        self.on_error = on_error
        self.verbose = verbose
        self._is_running = False
        self._spawn_results = SpawnResults()
        self._results = CallbackResults(self, self._spawn_results)
        self._prepared = PreparedLens(self, self._results)
        self._worker = BackgroundWorker()
        self._publisher = Publisher(self, self._results, self._worker)
        self._unfinished = UnfinishedObservation(self, self._results, self._publisher)
        self._validation = ValidationCapture(self, self._results, self._prepared)
        planner = ObservationPlanner(self, self._results)
        parts = (self, self._results, self._prepared, self._publisher, planner, self._unfinished, self._worker)
        self._observer = Observer(*parts)
        self._last_observation = LastObservation(*parts)

    def __repr__(self) -> str:
        return settings_text(self)

    # ---- before training: wrong arguments and unsupported Trainers raise here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses unsupported Trainers, and writes the run's row in HParams before Lightning writes its own.

        Raises:
            Exception: A logger has failed, with ``on_error="raise"``, on the other ranks as a `PeerError`.
        """
        check_supported(trainer)
        if stage != "fit":
            return
        self._results.begin(trainer, partial(self._end_run, trainer))
        if self.tensorboard.layout:
            kept: list[Exception] | None = [] if self.on_error == "raise" else None
            if trainer.is_global_zero:
                with guarded(self._results.state, kept):
                    self._write_hparams(trainer, pl_module)
            raise_everywhere(trainer, kept)

    def _write_hparams(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the run's row in HParams."""
        ranks = planned_ranks(trainer, self.probe, self.probe_size, self.options)
        columns = table_columns(self.measurements, ranks, self.prefix, foreign_scalars(trainer, self.prefix))
        params = hyperparameters(trainer, pl_module)
        has_hp_metric = may_log_hp_metric(trainer, pl_module)
        for logger in trainer.loggers:
            write_hparams(logger, params, columns, logger_prefix(logger), has_hp_metric)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the probe, selects the layers, and observes once before the first step."""
        if trainer.global_step == 0:
            self._results.start_run()  # a second `fit` is another run
        if self.every_n_train_steps is None:
            warn_infinite_epochs(trainer)
        state = self._results.state
        state.budget.start()
        self._prepared.start_run(trainer, pl_module)
        self._unfinished.start_run()
        self._validation.start_run()
        self._publisher.open(trainer)
        self._is_running = True
        if state.metrics:
            self._observer.prepare(trainer, pl_module, before_training=True)
            self._publisher.publish(trainer)
        else:  # also where the metrics are another lens's, in a resumed run
            state.epochs = trainer.current_epoch
            step = log_step(trainer, after_epoch=False)
            self._observer.observe(trainer, pl_module, state.epochs, step, before_training=True)
            state.epoch_metrics = {}  # no epoch has ended yet
        self._check_monitors(trainer)
        if state.epochs < trainer.current_epoch:
            self._catch_up(trainer, pl_module)

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
        at_epoch_end = self.every_n_train_steps is None
        check_monitors(trainer, self.prefix, available, self.missing_reasons, observes_at_epoch_end=at_epoch_end)

    # ---- during training: an error here does not end the training, unless on_error="raise"

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Reads from the graph of the first training step's loss what the model's output is."""
        self._prepared.evidence.see_loss(pl_module, loss)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Observes every n steps; an accumulated batch repeats its step and is not observed twice."""
        self._unfinished.advance()
        if self._is_running:
            with guarded(self._results.running_state):
                # Lightning passes the loss divided by this number, by which it averages gradients
                n_accumulated = trainer.accumulate_grad_batches
                self._results.running_state.training_loss.add(outputs, n_accumulated)
        n = self.every_n_train_steps
        # several optimizers take several steps a batch
        is_due = n is not None and trainer.global_step // n > self._results.state.last_step // n
        self._settle_outputs(trainer, pl_module, is_last_chance=is_due)
        if is_due:
            step = log_step(trainer, after_epoch=False)
            if self._observer.observe(trainer, pl_module, trainer.current_epoch, step):
                tell_observation(trainer, pl_module, self.prefix)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Observes every n epochs; where an epoch has no new observation, patience does not count it."""
        state = self._results.state
        state.epochs = trainer.current_epoch + 1
        is_new = state.measured_this_epoch
        self._settle_outputs(trainer, pl_module, is_last_chance=True)
        if self.every_n_train_steps is None and state.epochs % self.every_n_epochs == 0:
            is_new = self._observer.observe(trainer, pl_module, state.epochs, log_step(trainer, after_epoch=True))
            if is_new:
                tell_observation(trainer, pl_module, self.prefix)
        state.measured_this_epoch = False
        if not is_new:
            state.epoch_metrics = {}
            rewind_wait_count(trainer, self.prefix)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to read the probe's activations in the validation pass."""
        if self._is_running:
            self._validation.start(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends that reading."""
        self._validation.stop()

    def _settle_outputs(self, trainer: Trainer, pl_module: LightningModule, is_last_chance: bool) -> None:
        """Decides, where that waits for a training step, how the output is read; see `Observer.settle_outputs`.

        Raises:
            MisconfigurationException: A callback monitors a scalar that does not exist, as the decision has shown.
        """
        is_pending = self._prepared.evidence.is_pending
        if is_pending and self._observer.settle_outputs(trainer, pl_module, is_last_chance):
            self._check_monitors(trainer)

    # ---- after training

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the last observation of the run full; the epochs' metrics, by which others have decided, stay."""
        if self._is_running:
            self._last_observation.complete(trainer, pl_module, self._observer.observed_step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the sinks and prints a summary of the run.

        Raises:
            Exception: A logger or a sink has failed, with ``on_error="raise"``, on the rank where it has. Nothing waits
                for this rank then: the strategy has ended its work, and all sinks are closed.
        """
        kept: list[Exception] | None = [] if self.on_error == "raise" else None
        self._end_run(trainer, kept)
        if kept:
            raise kept[0]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends the run as `on_fit_end` does, after an error or an interrupt; failures of the lens are reported then."""
        self._end_run(trainer)

    def _end_run(self, trainer: Trainer, kept: list[Exception] | None = None) -> None:
        """Ends the run once; nothing here is a collective operation. Failures are reported, or added to ``kept``."""
        self._validation.drop()
        if not self._is_running:
            return
        self._is_running = False
        self._prepared.end_run()
        with guarded(self._results.state, kept):
            self._unfinished.finish()
        self._publisher.end_run(trainer, self._prepared.evidence.is_pending, kept)
        self._results.leave(trainer, kept)
        self._worker.close()

    def add_decision(self, trainer: Trainer, found: StoppingDecision | HandedOver) -> None:
        """Adds to the last observation, and to its line of JSON, what a `LabelFreeStopping` has decided by it.

        Args:
            trainer: The Trainer.
            found: The decision, or which weights the module has at the end of ``fit``.

        Raises:
            Exception: A sink has failed.
        """
        self._unfinished.add_decision(found)
        if not self._is_running:
            self._results.leave(trainer)

    # ---- for other callbacks, equal on every rank

    @property
    def state(self) -> RunState:
        """The run's state; after training in child processes, that of the first of them."""
        self._unfinished.complete_records()
        return self._results.state

    @property
    def lens(self) -> FactorLens | None:
        """The lens of the run; None before training, and on ranks that do not observe."""
        return self._prepared.lens

    @property
    def probe_batch(self) -> Probe | None:
        """The probe as it was drawn; None before training."""
        return self._prepared.probe

    @property
    def observation(self) -> Observation | None:
        """The last observation; after training in child processes without its tensors."""
        self._unfinished.complete_records()
        return self._results.observation

    @property
    def metrics(self) -> dict[str, float]:
        """The monitored scalars as last measured, by tag."""
        return dict(self.state.metrics)

    @property
    def pending_metrics(self) -> frozenset[str]:
        """Tags that the next observation may have for the first time, once the training step has told the outputs."""
        needs = self._prepared.evidence.coming_needs
        return tags_that_need(needs, self.measurements, self.options.ranks, self.prefix)

    @property
    def missing_reasons(self) -> dict[str, str]:
        """Why the last observation has no value, by the tags of the scalars that it lacks."""
        return missing_reasons(self.observation, self.measurements, self.options.ranks, self.prefix)

    @property
    def epoch_metrics(self) -> dict[str, float]:
        """The monitored scalars of the epoch's last observation; empty where there was none."""
        return dict(self.state.epoch_metrics)

    @property
    def known_epoch_metrics(self) -> dict[str, float]:
        """As `epoch_metrics`, without those that are still computed beside the training, which nothing waits for."""
        return dict(self._results.state.epoch_metrics)

    @property
    def monitored_tags(self) -> list[str]:
        """The tags of the monitored scalars; before the first observation, those that the measurements declare."""
        return self._publisher.monitored_tags

    @property
    def history(self) -> Sequence[Observation]:
        """All observations of the run, without their tensors."""
        return self.state.history

    # ---- state

    def __getstate__(self) -> dict[str, Any]:
        """The attributes for a copy: first waits for what is computed beside the training, as a copy has no part in it.

        Raises:
            Exception: A measurement or a sink has failed, with ``on_error="raise"``.
        """
        self._unfinished.finish()
        return self.__dict__

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint, distinct for distinct prefixes."""
        return self._generate_state_key(prefix=self.prefix)

    def state_dict(self) -> dict[str, Any]:
        """The run's state; it waits for all numbers that are computed beside the training."""
        self._unfinished.complete_numbers()
        return self.state.state_dict()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Publishes what the state in the checkpoint has, since the run that is resumed from it does so too."""
        self._unfinished.publish_metrics(trainer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where the checkpoint stopped; a state that cannot be read, as an older version's, is ignored.

        Raises:
            ValueError: The state cannot be read, and ``on_error="raise"``.
        """
        self._results.load_state_dict(state_dict)


FactorLensCallback.__doc__ = (FactorLensCallback.__doc__ or "").format(tags=tag_list(default_measurements()).lstrip())
