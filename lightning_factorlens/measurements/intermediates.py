"""Results that the lens computes while an observation is made, for all measurements."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.activations import Capture
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.results import Factorization, RankCurve

Captures = Generator[Capture, None, None]


@dataclass
class Intermediates:
    """Results that the lens computes while an observation is made; measurements read them through `Context`.

    Attributes:
        capture: The probe's activations and outputs.
        partition: Which features of the activations this process holds.
        problem: The blocks that are factorised.
        factorization: Their factors.
        forward_fn: Sends changed copies of the probe through the model.
        output_fn: Reads the model's output for a batch.
        gradient_fn: Sends the probe through the model with gradients.
        samples_fn: Lets a function make forward passes of the probe.
        block_groups: The parts that have curves of their own, once a measurement has read them.
        curves: Their curves, once a measurement has read them.
        measurement: Name of the measurement that is running.
        needs: The needs that it declares.
        previous_states: States that measurements kept at the last observation, by their names.
        states: States that they keep for the next observation.
        states_read: Copies of the previous states, which measurements may change.
        captures: The captures with gradients that the running measurement has requested and that still exist.
        is_capturing: Whether some of them have begun and not ended.
    """

    capture: Capture | None = None
    partition: Partition | None = None
    problem: CoupledProblem | None = None
    factorization: Factorization | None = None
    forward_fn: Callable[[Sequence[Probe], Tensor], list[Tensor]] | None = None
    output_fn: Callable[[Batch], Tensor | None] | None = None
    gradient_fn: Callable[[Probe, bool], Captures] | None = None
    samples_fn: Callable[[Probe, Callable[..., Any]], list[Any]] | None = None
    block_groups: BlockGroups | None = None
    curves: dict[str, RankCurve] | None = None
    measurement: str = ""
    needs: frozenset[str] = frozenset()
    previous_states: Mapping[str, Any] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    states_read: dict[str, Any] = field(default_factory=dict)
    captures: list[ref[Captures]] = field(default_factory=list)
    is_capturing: bool = False

    def read_captures(self, captures: Captures) -> Captures:
        """The captures; `close_captures` can end them.

        Raises:
            RuntimeError: Others have begun and not ended: each would restore what the other one had changed.
        """

        def read() -> Captures:
            """Reads them unless others have begun."""
            if self.is_capturing:
                raise RuntimeError(
                    f"gradient_captures: the measurement {self.measurement!r} has begun to read others and has not "
                    "read them to the end; do so, or call their close(), before the next ones are begun."
                )
            self.is_capturing = True
            try:
                yield from captures
            finally:
                self.is_capturing = False

        reading = read()
        self.captures.append(ref(reading))
        return reading

    def close_captures(self) -> None:
        """Ends captures that were not read to the end."""
        for reference in self.captures:
            captures = reference()
            if captures is not None:
                captures.close()
        self.captures.clear()
