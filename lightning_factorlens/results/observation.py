"""The results of one observation of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from lightning_factorlens.results import _text
from lightning_factorlens.results.factorization import Factorization
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.quantities import find_value
from lightning_factorlens.results.record import Record, Value
from lightning_factorlens.results.setup import Setup
from lightning_factorlens.results.stopping_decision import HandedOver, StoppingDecision


@dataclass(frozen=True, repr=False)
class Observation(Plottable):
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
        notes: Remarks without which the numbers could be misread, in words.
        is_full: Whether all measurements were made. A signal-only observation has the records of some of them.
        decisions: What each `LabelFreeStopping` of the run has decided by this observation.
        handed_over: Which weights each of them has given the module at the end of ``fit``; on the last observation of
            that ``fit``, so that a run that went on has it on an earlier observation too.
        setup: The samples, the layers and the options with which it was made; None where that was not recorded, as
            before version 0.2.0.
    """

    epoch: int
    step: int
    records: Mapping[str, Record]
    inputs: Tensor | None = None
    factorization: Factorization | None = None
    notes: tuple[str, ...] = field(default=())
    is_full: bool = True
    decisions: tuple[StoppingDecision, ...] = ()
    handed_over: tuple[HandedOver, ...] = ()
    setup: Setup | None = None

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
        """One number.

        Args:
            quantity: Name of the quantity, as in `Value`, such as ``"effective_rank"``.
            scope: The part that it belongs to, as in `Value`. None for a number of the whole observation; where the
                quantity has none, that of the scope ``"total"``.
            rank: The rank of the factorisation; None for a quantity without ranks.

        Returns:
            The number; None where a measurement declares the quantity, but this observation was made without it (no
            time within ``max_overhead``, no class scores), or where it has been condensed to the whole network.

        Raises:
            KeyError: A name that nothing declares, or a scope or rank that the quantity does not have; the message
                lists those that it has.

        Example:
            >>> from lightning_factorlens.results import ScopedScalar
            >>> record = ScopedScalar("effective_rank", {"total": 20.5, "inputs": 21.5, "conv1": 3.0})
            >>> observation = Observation(epoch=1, step=100, records={"effective_rank": record})
            >>> observation.value("effective_rank"), observation.value("effective_rank", "inputs")
            (20.5, 21.5)
        """
        return find_value(list(self.values()), quantity, scope, rank, self.is_full)

    def get_value(self, quantity: str, scope: str | None = None, rank: int | None = None) -> float | None:
        """One number of exactly this quantity, scope and rank, or None where there is none; see `value`.

        Args:
            quantity: See `Value`.
            scope: See `Value`.
            rank: See `Value`.
        """
        for value in self.values():
            if (value.quantity, value.scope, value.rank) == (quantity, scope, rank):
                return value.value
        return None

    def with_record(self, name: str, record: Record) -> Observation:
        """A copy with one more record, or with the record of this name replaced."""
        return replace(self, records={**self.records, name: record})

    def with_decision(self, found: StoppingDecision | HandedOver) -> Observation:
        """A copy with one more decision, or with one more statement about the weights at the end of ``fit``.

        What the same callback has stated before about the weights is replaced, as by a second ``fit``.
        """
        if isinstance(found, HandedOver):
            others = tuple(each for each in self.handed_over if each.tag != found.tag)
            return replace(self, handed_over=(*others, found))
        return replace(self, decisions=(*self.decisions, found))

    def completed_by(self, later: Observation, order: Sequence[str]) -> Observation:
        """This observation with the records that it lacks.

        Args:
            later: An observation of the same weights by other measurements, whose tensors are kept.
            order: The names of all measurements in their order.

        Returns:
            A full observation.
        """
        found = {**self.records, **later.records}
        records = {}
        for name in (*order, *found):
            if name in found:
                records[name] = found[name]
        notes = tuple(dict.fromkeys((*later.notes, *self.notes)))
        setup = later.setup
        if setup is not None and self.setup is not None:
            setup = replace(setup, measurements={**self.setup.measurements, **setup.measurements})
        completed = replace(later, epoch=self.epoch, step=self.step, records=records, notes=notes, is_full=True)
        return replace(completed, decisions=self.decisions, handed_over=self.handed_over, setup=setup)

    def without_tensors(self) -> Observation:
        """A copy without the probe, the factors and the tensors of the records, for histories."""
        records = {}
        for name, record in self.records.items():
            records[name] = record.without_tensors()
        return replace(self, records=records, inputs=None, factorization=None)

    def condensed(self) -> Observation:
        """A copy whose size does not grow with the number of layers, for checkpoints; see `Record.condensed`."""
        records = {}
        for name, record in self.records.items():
            records[name] = record.condensed()
        return replace(self, records=records, inputs=None, factorization=None)

    def __repr__(self) -> str:
        return _text.observation_text(self.epoch, self.records, self.notes)

    def _repr_html_(self) -> str:
        return _text.observation_html(self.epoch, self.records, self.notes)
