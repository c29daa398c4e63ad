"""Passes results on: to the sinks, to callbacks that monitor the lens, and in a summary to the user."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._failures import guarded
from lightning_factorlens.callbacks._monitors import (
    foreign_scalars,
    publish_metrics,
    relax_finite_checks,
    restore_finite_checks,
    stop_advice,
)
from lightning_factorlens.callbacks._settings import Settings
from lightning_factorlens.loggers.base import CompositeSink
from lightning_factorlens.loggers.declared_tags import declared_tags
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.tables import cost_line, run_report
from lightning_factorlens.loggers.tags import monitored_scalars, with_cost
from lightning_factorlens.results import Observation


class Publisher:
    """Writes the observations of a run, and publishes their monitored scalars.

    Args:
        settings: The callback's arguments.
        results: The run's state and last observation.
        worker: The thread on which figures are drawn.
    """

    def __init__(self, settings: Settings, results: CallbackResults, worker: BackgroundWorker) -> None:
        self._settings = settings
        self._results = results
        self._worker = worker
        self._sink = CompositeSink()
        self._loggers: LoggerSink | None = None
        self._is_cost_open = False
        self._has_failed = False
        self._is_alone = True
        self._relaxed_stoppings: list[EarlyStopping] = []

    def open(self, trainer: Trainer) -> None:
        """Opens the sinks on rank 0."""
        self._sink = self._open_sinks(trainer) if trainer.is_global_zero else CompositeSink()
        self._is_alone = trainer.world_size == 1

    def _open_sinks(self, trainer: Trainer) -> CompositeSink:
        settings = self._settings
        self._loggers = LoggerSink(
            trainer.loggers,
            settings.measurements,
            settings.prefix,
            settings.tensorboard,
            extra_scalars=foreign_scalars(trainer, settings.prefix),
            notify=rank_zero_info if settings.verbose else None,
            history=self._results.state.history,
            detail=settings.detail,
            budget=self._results.state.budget,
            advice=partial(stop_advice, trainer, settings.prefix),
            worker=self._worker if settings.background else None,
            completes_cost=True,
        )
        return CompositeSink(self._loggers, *settings.sinks)

    def write(self) -> None:
        """Writes the last observation to the sinks; what is left for `finish` is its cost, and figures being drawn."""
        observation = self._results.observation
        assert observation is not None
        self._is_cost_open = True
        self._has_failed = False
        with self._failing_once(), self._results.state.budget.writing():
            self._sink.write(observation)
        if self._waits_for_figures:
            self._finish_figures()

    def amend(self, observation: Observation) -> None:
        """Passes the last observation to the sinks that keep decisions.

        Args:
            observation: It has been written, or it is the last one of a checkpoint, which may be condensed.
        """
        with self._results.state.budget.writing():
            self._sink.amend(observation)

    @contextmanager
    def _failing_once(self) -> Iterator[None]:
        """Drops all failures in writing an observation but the first, since one observation counts as one failure."""
        try:
            yield
        except Exception:
            if self._has_failed:
                return
            self._has_failed = True
            raise

    @property
    def _waits_for_figures(self) -> bool:
        """Whether figures are finished with the observation: where a failure must be known to all processes then."""
        return not (self._is_alone or self._settings.on_error == "warn")

    @property
    def is_drawing(self) -> bool:
        """Whether figures are being drawn, so that `finish` would wait for them."""
        return self._loggers is not None and self._loggers.is_busy

    def finish(self) -> None:
        """Waits for figures that are being drawn, and then completes and writes the cost of the last observation."""
        try:
            self._finish_figures()
        finally:
            self.complete_cost()

    def _finish_figures(self) -> None:
        if self._loggers is not None and self._loggers.has_figures_to_finish:
            with self._failing_once(), self._results.state.budget.writing():
                self._loggers.finish()

    def complete_cost(self) -> None:
        """Adds to the last observation what writing it has cost so far, and writes its cost, unless that is done."""
        if self._is_cost_open:
            self._is_cost_open = False
            self._complete_cost()

    def _complete_cost(self) -> None:
        observation = self._results.observation
        assert observation is not None
        state = self._results.state
        observation = observation.with_record("cost", state.budget.with_writing(observation["cost"]))
        self._results.observation = observation
        state.replace_last(observation, state.warm_start)
        if self._is_alone:  # other processes do not know the cost
            state.metrics.update(monitored_scalars(observation, (), self._settings.prefix))
        with self._failing_once(), state.budget.writing():
            self._sink.complete(observation)

    @property
    def monitored_tags(self) -> list[str]:
        """The tags of the monitored scalars; before the first observation, those that the measurements declare."""
        settings = self._settings
        known = list(self._results.state.metrics)
        return known or declared_tags(with_cost(settings.measurements), settings.options.ranks, settings.prefix)

    def publish(self, trainer: Trainer) -> None:
        """Makes the values known to callbacks that monitor; the sinks write them at the observation's own step."""
        state = self._results.state
        if state.metrics:
            restore_finite_checks(self._relaxed_stoppings)
            undefined = [tag for tag, value in state.metrics.items() if math.isnan(value)]
            self._relaxed_stoppings += relax_finite_checks(trainer, self._settings.prefix, undefined)
            publish_metrics(trainer, state.metrics)
        else:  # the first observation has failed: a callback that finds no value at all would end the training
            self._relaxed_stoppings += relax_finite_checks(trainer, self._settings.prefix)
            publish_metrics(trainer, dict.fromkeys(self.monitored_tags, math.nan))

    def end_run(self, trainer: Trainer, has_unwritten: bool, kept: list[Exception] | None = None) -> None:
        """Closes the sinks and prints a summary; nothing here is a collective operation.

        Args:
            trainer: The Trainer.
            has_unwritten: Whether the last observation has not been written, because there was no training step.
            kept: Receives failures, see `guarded`.
        """
        settings = self._settings
        restore_finite_checks(self._relaxed_stoppings)
        state = self._results.state
        with state.budget.exclude_from_price("writing"):
            if has_unwritten and self._results.observation is not None:
                with guarded(state, kept):
                    self.write()
            with guarded(state, kept):
                self.finish()
            with guarded(state, kept):
                self._sink.close()
        self._loggers = None
        if settings.verbose and trainer.is_global_zero and state.n_measured:
            with guarded(state, kept):
                cost = cost_line(state.n_measured, state.n_full, state.n_failed, state.budget, settings.measurements)
                advice = stop_advice(trainer, settings.prefix)
                rank_zero_info(run_report(state.history, settings.measurements, settings.prefix, cost, advice))
