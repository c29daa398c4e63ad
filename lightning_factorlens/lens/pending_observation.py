"""An observation of which parts are still computed on another thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lightning_factorlens.measurements import Measurement
from lightning_factorlens.measurements.deferred import Deferred, as_record
from lightning_factorlens.results import Cost, Observation, Record


class PendingObservation:
    """An observation without the records of deferred measurements, until it is completed.

    Args:
        observation: The observation without them.
        deferred: Their results, by their names.
        measurements: All measurements of the observation, in the order of its records.
        notes: The notes of all measurements, to which deferred ones add theirs.

    Attributes:
        observation: The observation; whole after `complete`.
        names: The names of the deferred measurements.
        failure: After `complete`, the first error of a deferred measurement, whose record is then missing.
        seconds: After `complete`, processor seconds of the other thread, by measurement.
        waited: After `complete`, seconds for which it has waited for the other thread.
    """

    def __init__(
        self,
        observation: Observation,
        deferred: Mapping[str, Deferred],
        measurements: Sequence[Measurement],
        notes: list[str],
    ) -> None:
        self.observation = observation
        self.names = frozenset(deferred)
        self.failure: Exception | None = None
        self.seconds: dict[str, float] = {}
        self.waited = 0.0
        self._deferred = dict(deferred)
        self._measurements = measurements
        self._notes = notes
        self._n_notes = len(notes)

    @property
    def is_done(self) -> bool:
        """Whether `complete` does not wait."""
        return all(found.task.is_done for found in self._deferred.values())

    @property
    def is_complete(self) -> bool:
        """Whether no deferred record is missing."""
        return not self._deferred

    def wait(self) -> None:
        """Waits for the other thread; after an interrupt meanwhile, such as Ctrl-C, the observation is as before."""
        for found in self._deferred.values():
            self.waited += found.task.wait()

    def complete(self) -> Observation:
        """Waits for the deferred measurements.

        Returns:
            The observation with their records, notes and seconds; the total of the cost stays as it is.
        """
        deferred, self._deferred = self._deferred, {}
        if not deferred:
            return self.observation
        found: dict[str, Record] = {}
        for measurement in self._measurements:
            name = measurement.name
            if name not in deferred:
                continue
            try:
                self.waited += deferred[name].task.wait()
                result = deferred[name].result()
                if result is not None:
                    found[name] = as_record(measurement, result)
            except Exception as error:
                self.failure = self.failure or error
            self.seconds[name] = deferred[name].task.seconds
        self.observation = self._with_records(found)
        return self.observation

    def _with_records(self, found: Mapping[str, Record]) -> Observation:
        """The observation with further records in their places, with the seconds that they have taken."""
        known = {**self.observation.records, **found}
        records: dict[str, Record] = {}
        for name in (*(measurement.name for measurement in self._measurements), *known):
            if name in known:
                records[name] = known[name]
        cost: Cost = self.observation["cost"]
        records["cost"] = cost.plus(Cost(self.seconds))
        notes = (*self.observation.notes, *self._notes[self._n_notes :])
        return replace(self.observation, records=records, notes=notes)
