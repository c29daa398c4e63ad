"""The data that a measurement may read: the model, the probe, and results computed from them for all measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from torch import Tensor, nn

from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.activations import Capture
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import Partition, SingleProcess
from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.measurements.deferred import Deferred
from lightning_factorlens.measurements.intermediates import Captures, Intermediates
from lightning_factorlens.measurements.kept_state import copy_state
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.results import Factorization, RankCurve, Record

T = TypeVar("T")


@dataclass
class Context:
    """The data of an observation that is being made.

    Attributes:
        model: The model, left as it was found.
        options: The lens's options.
        probe: The samples: ``len(probe)`` of them, ``probe.inputs``, and ``probe.batches()`` as they pass.
        epoch: Number of finished epochs.
        step: Position on the x axis.
        process_group: The processes between which the work is divided. A measurement that divides its work must make
            the same calls in every process.
        cache: A dictionary of the lens for expensive results. It lasts as long as the lens and is not part of
            checkpoints; a measurement must give equal numbers without it.
        output_decision: Which part of the model's output is read, as what, and why.
        notes: Remarks without which the numbers could be misread; see `note`.
        intermediates: Filled in by the lens.
        training_loss: Mean training loss of the batches since the last observation; None where it is not known.
        used: The parameters that the lens's forward passes have used.
        worker: The thread on which parts of measurements are computed, see `deferred`; None where all are made at once.
    """

    model: nn.Module
    options: LensOptions
    probe: Probe
    epoch: int
    step: int
    process_group: SingleProcess
    cache: dict[str, Any]
    output_decision: OutputDecision = field(default_factory=OutputDecision)
    notes: list[str] = field(default_factory=list)
    intermediates: Intermediates = field(default_factory=Intermediates)
    training_loss: float | None = None
    used: UsedParameters = field(default_factory=UsedParameters)
    worker: BackgroundWorker | None = None

    @property
    def is_trained(self) -> bool:
        """Whether any training step was taken before this observation."""
        return self.epoch > 0 or self.step > 0

    @property
    def capture(self) -> Capture:
        """The probe's activations and class scores; needs ``"capture"``.

        Before the first training step, class scores that it has to confirm are shown only to measurements that need
        ``"class_scores"``, whose results are dropped if it does not.
        """
        capture: Capture = self._needed(self.intermediates.capture, "capture")
        return capture if self.may_read_class_scores else replace(capture, outputs=None)

    @property
    def partition(self) -> Partition:
        """Which features of the layers in `capture` this process holds; needs ``"capture"``."""
        partition: Partition = self._needed(self.intermediates.partition, "capture")
        return partition

    @property
    def may_read_class_scores(self) -> bool:
        """Whether the running measurement may read class scores, if there are any."""
        return not self.output_decision.is_provisional or "class_scores" in self.intermediates.needs

    def read_output(self, batch: Batch) -> Tensor | None:
        """The model's output for a batch, whatever it is read as; needs ``"outputs"``.

        Args:
            batch: Some samples of the probe, or a changed copy of them.

        Returns:
            The part that `output_decision` names, float32, shape (n, …); None where there is none.
        """
        output_fn = self._needed(self.intermediates.output_fn, "outputs")
        found: Tensor | None = output_fn(batch)
        return found

    @property
    def class_scores(self) -> Tensor:
        """The model's class scores for the probe, shape (N, K), float32; needs ``"class_scores"``.

        A measurement with this need is not made where the output is not read as class scores.
        """
        capture = self.intermediates.capture
        outputs: Tensor = self._needed(None if capture is None else capture.outputs, "class_scores")
        return outputs

    @property
    def problem(self) -> CoupledProblem:
        """The blocks that were factorised; needs ``"factorization"``."""
        return self._needed(self.intermediates.problem, "factorization")

    @property
    def factorization(self) -> Factorization:
        """The factors; needs ``"factorization"``."""
        return self._needed(self.intermediates.factorization, "factorization")

    @property
    def block_groups(self) -> BlockGroups:
        """All blocks, inputs, activations, and each block; needs ``"factorization"``; see `BlockGroups`."""
        problem = self.problem
        if self.intermediates.block_groups is None:
            self.intermediates.block_groups = BlockGroups(problem)
            for part in self.intermediates.block_groups.dead_parts():
                self.note(f"{part}: no error, SVD error, effective rank or similarity: all its values are zero")
        return self.intermediates.block_groups

    @property
    def curves(self) -> dict[str, RankCurve]:
        """Errors of the factorisation against rank, by part; needs ``"factorization"``."""
        factorization = self.factorization
        if self.intermediates.curves is None:
            self.intermediates.curves = self.block_groups.curves(factorization)
        return self.intermediates.curves

    @property
    def state(self) -> Any:
        """The state that this measurement kept at the last observation; None before the first.

        It is a copy: changes have no effect unless they are kept. With a `FactorLensCallback` its tensors are on the
        CPU, as a checkpoint restores them.
        """
        intermediates = self.intermediates
        name = intermediates.measurement
        if name not in intermediates.states_read:
            intermediates.states_read[name] = copy_state(intermediates.previous_states.get(name))
        return intermediates.states_read[name]

    def keep_state(self, state: Any) -> None:
        """Keeps something for the next observation; checkpoints hold it.

        Args:
            state: Tensors and plain types in dictionaries, lists and tuples; it is copied.

        Raises:
            TypeError: Anything else, which a checkpoint could not give back.
        """
        self.intermediates.states[self.intermediates.measurement] = copy_state(state)

    def forward(self, probes: Sequence[Probe], outputs: Tensor) -> list[Tensor]:
        """The model's outputs for changed copies of the probe; needs ``"forward"``.

        Args:
            probes: Copies of the probe, see `Probe.map_inputs`.
            outputs: The outputs for the probe itself, shape (N, K).

        Returns:
            One tensor (N, K) for each copy that has such outputs.
        """
        forward = self._needed(self.intermediates.forward_fn, "forward")
        return forward(probes, outputs)

    def map_samples(self, function: Callable[[Probe, Callable[[Any], Any]], T]) -> list[T]:
        """Lets a function make its own forward passes of the probe, e.g. with hooks of its own; needs ``"forward"``.

        Args:
            function: Receives samples, all or this process's share of them, and what calls the model on the data of a
                batch: ``for batch in samples.batches(): call(batch.data)``. The model is isolated meanwhile, without
                gradients.

        Returns:
            What it returned in every process, in the order of the samples.
        """
        samples_fn = self._needed(self.intermediates.samples_fn, "forward")
        found: list[T] = samples_fn(self.probe, function)
        return found

    def gradient_captures(self, input_gradients: bool = False) -> Captures:
        """Captures of the probe that stay in the autograd graph, one batch after the other; needs ``"gradients"``.

        ``torch.autograd.grad`` gives gradients of an output with respect to a layer's samples; the parameters' own
        ``.grad`` are set aside meanwhile. Take the gradients of a capture before the next one is requested. Captures
        that are not read to the end are ended with the measurement. Every process of a process group captures the whole
        probe.

        Args:
            input_gradients: Whether `Capture.inputs` is a leaf that gradients can be taken with respect to.

        Yields:
            One capture for each batch, see `capture_batches`.

        Raises:
            RuntimeError: Captures of an earlier call are not read to the end.
        """
        gradient_fn = self._needed(self.intermediates.gradient_fn, "gradients")
        return self.intermediates.read_captures(gradient_fn(self.probe, input_gradients))

    def deferred(self, work: Callable[[], T], finish: Callable[[T], Record | Mapping[str, float] | None]) -> Any:
        """Has a part of a measurement computed beside the training, where the lens has a thread for it.

        The training goes on meanwhile, and so changes the model's parameters: ``work`` may read copies alone. It must
        not use global random states, nor import modules for the first time: in a worker of a ``DataLoader`` that is
        forked meanwhile such an import would never end. ``finish`` is called on the training's thread; it may call
        `note`, but not `keep_state`.

        Args:
            work: The part that takes time.
            finish: Makes what `Measurement.measure` is to return from the result of ``work``.

        Returns:
            What `Measurement.measure` returns.
        """
        if self.worker is None:
            return finish(work())
        return Deferred(self.worker.submit(work), finish)

    def note(self, text: str) -> None:
        """Adds a remark without which the numbers could be misread.

        Args:
            text: The remark; an observation shows it below its numbers.
        """
        self.notes.append(text)

    def _needed(self, value: Any, need: str) -> Any:
        if need not in self.intermediates.needs:
            raise RuntimeError(
                f"needs: the measurement {self.intermediates.measurement!r} reads what it does not declare; "
                f"add {need!r} to its `needs`, found {sorted(self.intermediates.needs)}."
            )
        return value
