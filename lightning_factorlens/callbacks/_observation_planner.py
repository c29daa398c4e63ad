"""Decides which measurements an observation makes: all of them, or the signal alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._settings import Settings
from lightning_factorlens.callbacks._signal import in_file_names, monitored_by_others, reads_measurement, signal_of
from lightning_factorlens.measurements import Measurement


class ObservationPlanner:
    """Chooses the measurements of every observation, by the account of rank 0 and on all ranks alike.

    Args:
        settings: The callback's arguments.
        results: The run's state.
    """

    def __init__(self, settings: Settings, results: CallbackResults) -> None:
        self._settings = settings
        self._results = results

    def choose(self, trainer: Trainer, coming_needs: frozenset[str]) -> tuple[Measurement, ...]:
        """The measurements to make now.

        Args:
            trainer: The Trainer.
            coming_needs: Needs of measurements that the next observation may have for the first time.

        Returns:
            All measurements where the account covers them, else the signal, which may be empty.
        """
        measurements = self._settings.measurements
        if self._settings.max_overhead is None:
            return measurements
        budget = self._results.state.budget
        names = tuple(measurement.name for measurement in measurements)
        if not budget.can_afford():
            names = tuple(measurement.name for measurement in self.signal(trainer, coming_needs))
        names = trainer.strategy.broadcast(names)
        if len(names) < len(measurements):
            self._count_reduced(names)
        return tuple(measurement for measurement in measurements if measurement.name in names)

    def lacks_full_end(self, trainer: Trainer, observed_step: int) -> bool:
        """Whether there is no full observation of the weights with which a run ends, by rank 0 and on all ranks alike.

        Args:
            trainer: The Trainer.
            observed_step: Optimizer steps at the last observation.
        """
        if self._settings.max_overhead is None:
            return False
        history = self._results.state.history
        has_others = len(self.signal(trainer)) < len(self._settings.measurements)
        is_full = bool(history) and history[-1].is_full and observed_step == trainer.global_step
        lacks: bool = trainer.strategy.broadcast(bool(history) and has_others and not is_full)
        return lacks

    def signal(self, trainer: Trainer, coming_needs: frozenset[str] = frozenset()) -> tuple[Measurement, ...]:
        """The measurements that are made at every due time; see `signal_of`."""
        settings = self._settings
        measured_before: set[str] = set()
        for observation in self._results.state.history:
            measured_before.update(observation.records)
        monitored = monitored_by_others(trainer)
        return signal_of(settings.measurements, settings.prefix, monitored, measured_before, coming_needs)

    def is_needed_now(self, trainer: Trainer, names: Collection[str]) -> bool:
        """Whether other callbacks or schedulers read what some measurements find, before the next observation.

        Args:
            trainer: The Trainer.
            names: The measurements.
        """
        measurements = [measurement for measurement in self._settings.measurements if measurement.name in names]
        read = monitored_by_others(trainer) | in_file_names(trainer, self._settings.prefix)
        return any(reads_measurement(measurement, self._settings.prefix, read) for measurement in measurements)

    def signal_after_failure(
        self, trainer: Trainer, failed: Sequence[Measurement], coming_needs: frozenset[str]
    ) -> tuple[Measurement, ...]:
        """The measurements to make in the place of those that have failed together, the same on all ranks.

        What has failed may be no part of the signal, on which others decide.

        Args:
            trainer: The Trainer.
            failed: The measurements of the observation that has failed.
            coming_needs: As for `choose`.

        Returns:
            The signal; empty where that is what has failed.
        """
        chosen = self.signal(trainer, coming_needs)
        names = tuple(measurement.name for measurement in chosen if len(chosen) < len(failed))
        names = trainer.strategy.broadcast(names)
        return tuple(measurement for measurement in failed if measurement.name in names)

    def _count_reduced(self, names: tuple[str, ...]) -> None:
        """Counts an observation that is not made in full, and explains the first one."""
        settings = self._settings
        budget = self._results.state.budget
        budget.n_signal_only += 1
        if not settings.verbose or budget.n_signal_only > 1:
            return
        made = f"the signal alone ({', '.join(names)})" if names else "no longer at every due time"
        rank_zero_info(
            f"FactorLens observes {made} until there is time for more: a full observation takes "
            f"{budget.full_seconds:.2g} s, which max_overhead={settings.max_overhead:g} allows after "
            f"{budget.seconds_until_affordable():.0f} s more of training. max_overhead=None makes all in full."
        )
