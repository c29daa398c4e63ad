"""Makes the last observation of a run full, where `max_overhead` has not allowed it."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer

from lightning_factorlens.callbacks._failures import attempt, report_failure
from lightning_factorlens.callbacks._global_step import log_step
from lightning_factorlens.callbacks._observation_maker import ObservationMaker
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.loggers.tags import monitored_scalars
from lightning_factorlens.results import Observation
from lightning_factorlens.run_state import WarmStart


class LastObservation(ObservationMaker):
    """Completes the last observation of a run, or adds one of the weights with which the run ends.

    The states of the signal, and the published values that others have monitored, stay as they are, so that a run that
    is resumed from here goes on as if there had been no end.
    """

    def complete(self, trainer: Trainer, pl_module: LightningModule, observed_step: int) -> None:
        """Makes sure that there is a full observation of the weights as they are now.

        Args:
            trainer: The Trainer.
            pl_module: The module.
            observed_step: Optimizer steps at the last observation.
        """
        self._unfinished.finish()
        state = self._results.state
        if self._prepared.evidence.is_pending or not self._planner.lacks_full_end(trainer, observed_step):
            return
        is_same = trainer.global_step == observed_step
        state.budget.begin()
        completed: list[dict[str, float]] = []

        def measure_and_write() -> None:
            lens = self._prepared.lens
            if lens is not None:
                completed.append(self._measure(lens, trainer, pl_module, is_same))
                with self._prepared.process_group.synchronized_errors():
                    self._publisher.write()

        failure = attempt(trainer, measure_and_write, self._settings.on_error, before_training=False)
        if failure is not None:
            report_failure(failure, state)
        state.metrics.update(trainer.strategy.broadcast(completed[0] if completed else {}))
        self._publisher.publish(trainer)
        state.budget.record(is_full=True)
        self._unfinished.advance()

    def _measure(
        self, lens: FactorLens, trainer: Trainer, pl_module: LightningModule, is_same: bool
    ) -> dict[str, float]:
        """Measures and keeps the observation, and returns the monitored scalars that are not of the signal."""
        state = self._results.state
        settings = self._settings
        signal = self._planner.signal(trainer)
        others = [measurement for measurement in settings.measurements if measurement not in signal]
        with self._prepared.process_group.synchronized_errors():
            if is_same:
                last = state.history[-1]
                assert self._prepared.probe is not None
                pending, warm_start = lens.begin(
                    self._prepared.probe, last.epoch, last.step, others, self._worker_in_use
                )
            else:
                probe = self._prepared.probe_for_observation(lens, trainer, pl_module)
                step = log_step(trainer, after_epoch=True)
                training_loss = state.training_loss.mean(self._prepared.process_group)
                pending, warm_start = lens.begin(probe, state.epochs, step, None, self._worker_in_use, training_loss)
            found = pending.complete()
            if pending.failure is not None:
                raise pending.failure
            found = found.with_record("cost", state.budget.complete(found["cost"]))
            metrics = monitored_scalars(found, others, settings.prefix)
        keeps_factors = any("factorization" in measurement.needs for measurement in signal)
        later = WarmStart(None if keeps_factors else warm_start.F, warm_start.states)
        names = [measurement.name for measurement in others]
        kept = state.warm_start.updated(later.only(names).cpu(), names)
        if is_same:
            found = self._completed(found)
            state.replace_last(found, kept)
        else:
            state.record(found, kept, is_due=False)
        self._results.observation = found
        return metrics

    def _completed(self, found: Observation) -> Observation:
        """The last observation with what it lacked."""
        last = self._results.state.history[-1]
        names = [measurement.name for measurement in self._settings.measurements]
        return last.completed_by(found, names).with_record("cost", last["cost"].plus(found["cost"]))
