"""Everything that one observation of a model found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from lightning_factorlens.results import _text
from lightning_factorlens.results.factorization import Factorization
from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True, repr=False)
class Observation:
    """The records of all measurements, by the measurements' names.

    Example:
        >>> from lightning_factorlens.results import Scalars
        >>> observation = Observation(epoch=3, step=300, records={"consistency": Scalars({"consistency": 0.5})})
        >>> observation["consistency"]["consistency"]
        0.5
        >>> "weight_spectra" in observation
        False

    Attributes:
        epoch: Number of finished epochs; 0 is the baseline before training.
        step: Position on the x axis of the loggers.
        records: Record by name of the measurement. A measurement that had nothing to report has no entry.
        inputs: The probe's inputs, shape (N, C, H, W), where they are images; else None.
        factorization: The factors themselves; None where no measurement needed them.
        notes: What a reader must know to read the numbers, in words.
    """

    epoch: int
    step: int
    records: Mapping[str, Record]
    inputs: Tensor | None = None
    factorization: Factorization | None = None
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, measurement: str) -> Any:
        if measurement not in self.records:
            available = ", ".join(map(repr, self.records)) or "none"
            raise KeyError(f"this observation has no record {measurement!r}; available are: {available}.")
        return self.records[measurement]

    def __contains__(self, measurement: object) -> bool:
        return measurement in self.records

    def get(self, measurement: str) -> Any:
        """The record of a measurement, or None where there is none."""
        return self.records.get(measurement)

    def values(self) -> Iterator[Value]:
        """Every number of every record."""
        for record in self.records.values():
            yield from record.values()

    def value(self, quantity: str, scope: str | None = None, rank: int | None = None) -> float | None:
        """One number, or None where the observation does not have it.

        Args:
            quantity: As in `Value`, as for the others.
            scope: The part.
            rank: The rank.
        """
        for value in self.values():
            if (value.quantity, value.scope, value.rank) == (quantity, scope, rank):
                return value.value
        return None

    def with_record(self, name: str, record: Record) -> Observation:
        """The same observation with one more record, or with that record replaced."""
        return replace(self, records={**self.records, name: record})

    def without_tensors(self) -> Observation:
        """The same numbers without anything large, which is what a history keeps."""
        records = {name: record.without_tensors() for name, record in self.records.items()}
        return replace(self, records=records, inputs=None, factorization=None)

    def __repr__(self) -> str:
        return _text.observation_text(self.epoch, self.records, self.notes)

    def _repr_html_(self) -> str:
        return _text.observation_html(self.epoch, self.records, self.notes)
