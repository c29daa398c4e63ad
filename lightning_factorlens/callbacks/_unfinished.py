"""The last observation of a run, while parts of it are computed, drawn or written beside the training."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from lightning.pytorch import Trainer

from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._failures import report_failure
from lightning_factorlens.callbacks._publisher import Publisher
from lightning_factorlens.callbacks._settings import Settings
from lightning_factorlens.lens.pending_observation import PendingObservation
from lightning_factorlens.results import Cost, HandedOver, Observation, StoppingDecision


class UnfinishedObservation:
    """Finishes the last observation: its deferred records first, then its scalars and figures, and its cost at last.

    Until then the run's state holds the observation without them. They are published with the observation's own step,
    between two training batches as soon as they are known, and before the next observation at the latest. No collective
    operation is called: with several processes there are no deferred records.

    Args:
        settings: The callback's arguments.
        results: The run's state and last observation.
        publisher: Writes it.
    """

    def __init__(self, settings: Settings, results: CallbackResults, publisher: Publisher) -> None:
        self._settings = settings
        self._results = results
        self._publisher = publisher
        self._pending: PendingObservation | None = None
        self._monitored_values: Callable[[Observation], dict[str, float]] = _no_values
        self._is_published = True
        self._owner = _current_thread()

    def start_run(self) -> None:
        """Forgets an earlier run; the calling thread is that of the training."""
        self._pending = None
        self._owner = _current_thread()

    def begin(self, pending: PendingObservation, monitored_values: Callable[[Observation], dict[str, float]]) -> None:
        """Remembers an observation whose records are not all known; the state has it already.

        Args:
            pending: The observation.
            monitored_values: Returns the monitored scalars of an observation.
        """
        self._pending = pending
        self._monitored_values = monitored_values

    @property
    def lacks_records(self) -> bool:
        """Whether records of the last observation are still computed."""
        return self._pending is not None

    def advance(self) -> None:
        """Publishes what is done, without waiting.

        Raises:
            Exception: A measurement or a sink has failed, with ``on_error="raise"``.
        """
        if self._pending is not None and self._pending.is_done:
            self._follow_on_error(self._complete)
        if self._pending is None and not self._publisher.is_drawing:
            self._follow_on_error(self._publisher.finish)

    def complete_records(self) -> None:
        """Waits for the records of the observation, not for its figures.

        Other threads than that of the training, such as one that draws a figure, and forked processes leave the
        observation as it is.

        Raises:
            Exception: As `advance` raises it.
        """
        if self._pending is not None and self._owner == _current_thread():
            self._follow_on_error(self._complete)

    def complete_numbers(self) -> None:
        """Waits for all numbers of the observation, as a checkpoint does; figures may still be drawn.

        Their price is then no part of the observation's own cost, but of that of the run.

        Raises:
            Exception: As `advance` raises it.
        """
        self.complete_records()
        if self._owner == _current_thread():
            self._follow_on_error(self._publisher.complete_cost)

    def finish(self) -> None:
        """Waits for all that belongs to the observation, and publishes it.

        Raises:
            Exception: As `advance` raises it.
        """
        self.complete_records()
        if self._owner == _current_thread():
            self._follow_on_error(self._publisher.finish)

    def publish_metrics(self, trainer: Trainer) -> None:
        """Puts late scalars where other callbacks find them, if that has not been done.

        When they become known depends on the clock, so `advance` must not do this: code of the user's that reads the
        Trainer's metrics would make the training depend on it.
        """
        if not self._is_published:
            self._is_published = True
            self._publisher.publish(trainer)

    def add_decision(self, found: StoppingDecision | HandedOver) -> None:
        """Adds to the last observation what `LabelFreeStopping` has decided by it, and writes that.

        Args:
            found: The decision, or which weights the module has at the end of ``fit``.

        Raises:
            Exception: A sink has failed.
        """
        state = self._results.state
        observation = self._results.observation
        if observation is None:  # there has been none since the run was resumed
            if state.history:
                last = state.history[-1].with_decision(found)
                state.replace_last(last, state.warm_start)
                self._publisher.amend(last)
            return
        observation = observation.with_decision(found)
        self._results.observation = observation
        state.replace_last(observation, state.warm_start)
        if self._pending is None:
            self._publisher.amend(observation)
        else:
            self._pending.observation = self._pending.observation.with_decision(found)

    def _complete(self) -> None:
        """Adds the deferred records to the observation, and writes it."""
        pending = self._pending
        assert pending is not None
        pending.wait()
        self._pending = (
            None  # not earlier: an interrupt while it waits must leave the observation to the end of the run
        )
        state = self._results.state
        observation = pending.complete()
        added = state.budget.add_background(pending.seconds, pending.waited)
        observation = observation.with_record("cost", observation["cost"].plus(Cost({"total": added})))
        self._results.observation = observation
        state.replace_last(observation, state.warm_start)
        metrics = self._monitored_values(observation)
        state.metrics.update(metrics)
        if state.epoch_metrics:
            state.epoch_metrics.update(metrics)
        self._is_published = False
        self._publisher.write()
        if pending.failure is not None:
            raise pending.failure

    def _follow_on_error(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            if self._settings.on_error == "raise":
                raise
            report_failure(error, self._results.state)


def _current_thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _no_values(observation: Observation) -> dict[str, float]:
    return {}
