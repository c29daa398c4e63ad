"""Makes the observations of a run, on all ranks or on none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_factorlens.callbacks._failures import attempt, report_failure
from lightning_factorlens.callbacks._observation_maker import ObservationMaker
from lightning_factorlens.callbacks._output_evidence import tags_that_need
from lightning_factorlens.callbacks._progress import ProgressLine
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.lens.pending_observation import PendingObservation
from lightning_factorlens.loggers.declared_tags import later_tags
from lightning_factorlens.loggers.tables import epoch_line
from lightning_factorlens.loggers.tags import monitored_scalars, undefined_tags
from lightning_factorlens.measurements import OUTPUT_NEEDS, Measurement
from lightning_factorlens.results import Observation


class Observer(ObservationMaker):
    """Makes observations; a failure on one rank is a failure on all, and follows ``on_error``.

    Attributes:
        observed_step: Optimizer steps at the last observation that has succeeded; -1 before any.
    """

    observed_step = -1

    def prepare(self, trainer: Trainer, pl_module: LightningModule, before_training: bool = False) -> None:
        """Prepares the lens unless that has been done in this run."""
        self._attempt(trainer, lambda: self._prepared.prepare(trainer, pl_module), before_training)
        evidence = self._prepared.evidence
        evidence.is_pending = trainer.strategy.broadcast(evidence.is_pending)

    def observe(
        self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int, before_training: bool = False
    ) -> bool:
        """Makes an observation; rank 0 writes it, and its scalars are sent to all.

        Args:
            trainer: The Trainer.
            pl_module: The module.
            epoch: Number of epochs that have ended.
            step: Step at which loggers show the observation.
            before_training: Whether an error in the configuration is raised in any case.

        Returns:
            Whether there is a new observation.
        """
        self._unfinished.finish()
        state = self._results.state
        state.last_step = trainer.global_step
        self.prepare(trainer, pl_module, before_training)
        chosen = self._planner.choose(trainer, self._prepared.evidence.coming_needs)
        if not chosen:
            return False
        measure = partial(self._measure, trainer, pl_module, epoch, step)
        metrics = self._make(trainer, measure, chosen, before_training)
        if metrics is None and not before_training:
            signal = self._planner.signal_after_failure(trainer, chosen, self._prepared.evidence.coming_needs)
            if signal:
                metrics = self._make(trainer, measure, signal, is_repeated=True)
        state.publish(metrics)
        if metrics is not None:
            self.observed_step = trainer.global_step
            state.training_loss.reset(may_warn=not state.n_failed)
        self._publisher.publish(trainer)
        self._unfinished.advance()
        return metrics is not None

    def _make(
        self,
        trainer: Trainer,
        measure: Callable[..., dict[str, float]],
        chosen: Sequence[Measurement],
        before_training: bool = False,
        is_repeated: bool = False,
    ) -> dict[str, float] | None:
        """Makes and writes an observation of some measurements; returns its monitored scalars, None if it has failed.

        With ``is_repeated`` a failure is not reported: that of the full observation has been.
        """
        state = self._results.state
        state.budget.begin()
        measured: list[dict[str, float]] = []

        def measure_and_write() -> None:
            lens = self._prepared.lens
            if lens is not None:
                measured.append(measure(lens, chosen))
                with self._prepared.process_group.synchronized_errors():
                    if not (self._prepared.evidence.is_pending or self._unfinished.lacks_records):
                        self._publisher.write()

        failure = attempt(trainer, measure_and_write, self._settings.on_error, before_training)
        if failure is not None and (measured or not is_repeated):
            report_failure(failure, state)
        metrics: dict[str, float] | None = trainer.strategy.broadcast(measured[0] if measured else None)
        state.budget.record(is_full=len(chosen) == len(self._settings.measurements))
        return metrics

    def _measure(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        epoch: int,
        step: int,
        lens: FactorLens,
        chosen: Sequence[Measurement],
    ) -> dict[str, float]:
        """Makes one observation and returns its monitored scalars.

        Nothing is kept before all ranks have succeeded: ranks that start from different states would diverge.
        """
        settings = self._settings
        state = self._results.state
        progress = ProgressLine(trainer, f"FactorLens observes, epoch {epoch} ...", settings.verbose)
        with self._prepared.process_group.synchronized_errors(), progress:
            probe = self._prepared.probe_for_observation(lens, trainer, pl_module)
            training_loss = state.training_loss.mean(self._prepared.process_group)
            pending, warm_start = lens.begin(probe, epoch, step, chosen, self._worker_in_use, training_loss)
            self._complete_what_is_needed(trainer, pending)
            observation = pending.observation
            warm_start = warm_start.cpu()
            observation = observation.with_record("cost", state.budget.complete(observation["cost"]))
            observation, warm_start = self._prepared.evidence.hold(observation, warm_start)
            metrics = self._monitored_values(observation)
        progress.finish(lambda: f"FactorLens: {epoch_line(observation, settings.measurements)}")
        self._results.observation = observation
        state.record(observation, warm_start)
        if not pending.is_complete:
            pending.observation = observation
            self._unfinished.begin(pending, self._monitored_values)
        return metrics

    def _complete_what_is_needed(self, trainer: Trainer, pending: PendingObservation) -> None:
        """Waits for deferred records where something decides by them now.

        The first observation of a run is whole in any case: it tells which scalars there are.

        Raises:
            Exception: A deferred measurement has failed.
        """
        state = self._results.state
        is_first = self._prepared.evidence.is_pending or not state.metrics
        if is_first or self._planner.is_needed_now(trainer, pending.names):
            pending.complete()
            if pending.failure is not None:
                raise pending.failure

    def _monitored_values(self, observation: Observation) -> dict[str, float]:
        """The monitored scalars of an observation; NaN for those that it lacks and others have had, or may have."""
        settings = self._settings
        metrics = monitored_scalars(observation, settings.measurements, settings.prefix)
        of_outputs = tags_that_need(OUTPUT_NEEDS, settings.measurements, settings.options.ranks, settings.prefix)
        for tag in undefined_tags(observation, settings.measurements, settings.prefix):
            if tag in self._results.state.metrics or tag in of_outputs:
                metrics[tag] = math.nan
        for tag in self._later_tags():
            if tag not in self._results.state.metrics:
                metrics.setdefault(tag, math.nan)
        return metrics

    def _later_tags(self) -> list[str]:
        """The tags that later observations may have, as far as it is known what the model's output is."""
        settings = self._settings
        lens = self._prepared.lens
        has_classes = lens is not None and lens.output_decision.kind == "classes"
        return later_tags(settings.measurements, settings.options.ranks, settings.prefix, has_classes)

    def settle_outputs(self, trainer: Trainer, pl_module: LightningModule, is_last_chance: bool) -> bool:
        """Decides how the output is read, and publishes the observation that waited for the decision.

        Args:
            trainer: The Trainer.
            pl_module: The module.
            is_last_chance: Whether to decide without a loss, if none has been seen.

        Returns:
            Whether it has been decided now.
        """
        settings = self._settings
        state = self._results.state
        evidence = self._prepared.evidence
        decision = trainer.strategy.broadcast(evidence.decide(pl_module, is_last_chance))
        if decision is None:
            return False
        state.output_decision = decision
        held = evidence.finish(decision)
        if settings.verbose:
            rank_zero_info(f"FactorLens: {decision.line}")
        published: list[dict[str, float]] = []

        def publish() -> None:
            with self._prepared.process_group.synchronized_errors():
                if held is not None:
                    observation, warm_start = held
                    self._results.observation = observation
                    state.replace_last(observation, warm_start)
                    published.append(self._monitored_values(observation))
                    self._publisher.write()

        self._attempt(trainer, publish)
        self._unfinished.advance()
        metrics = trainer.strategy.broadcast(published[0] if published else None)
        if decision.kind != "classes":  # the tags that wait for class scores will never have a value
            may_come = later_tags(settings.measurements, settings.options.ranks, settings.prefix, class_scores=False)
            for tag in later_tags(settings.measurements, settings.options.ranks, settings.prefix):
                if tag not in may_come:
                    state.metrics.pop(tag, None)
        state.metrics.update(metrics or {})
        self._publisher.publish(trainer)
        return True

    def _attempt(self, trainer: Trainer, work: Callable[[], None], before_training: bool = False) -> None:
        """Does some work on all ranks, see `attempt`, and reports its failure."""
        failure = attempt(trainer, work, self._settings.on_error, before_training)
        if failure is not None:
            report_failure(failure, self._results.state)
