"""One pass of all measurements over one probe: capture, factorise, measure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import torch

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.activations import Capture
from lightning_factorlens.capture.outputs import NAMES, OutputDecision
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import full_precision
from lightning_factorlens.lens.capture_factorization import factorize_capture
from lightning_factorlens.lens.model_runner import ModelRunner
from lightning_factorlens.lens.pending_observation import PendingObservation
from lightning_factorlens.lens.phase_timer import PhaseTimer
from lightning_factorlens.lens.shared_tensors import unchanged_tensors
from lightning_factorlens.linalg.threads import limit_threads
from lightning_factorlens.measurements import OUTPUT_NEEDS, Context, Measurement, no_class_scores
from lightning_factorlens.measurements.deferred import Deferred, as_record
from lightning_factorlens.measurements.observation_setup import observation_setup
from lightning_factorlens.results import LayerInfo, Observation, Record
from lightning_factorlens.run_state import WarmStart

#: Needs for which the probe's activations and outputs are captured.
CAPTURE_NEEDS = frozenset({"capture", "class_scores", "factorization", "forward", "outputs"})
#: Needs for which the activations of layers are captured.
ACTIVATION_NEEDS = frozenset({"capture", "factorization", "gradients"})


class MeasurementPass:
    """Makes one observation.

    Measurements that need further forward passes, and no factorisation, run while the model is isolated for the
    capture; all others run after the factorisation.

    Args:
        runner: Calls the model.
        measurements: What to measure.
        layers: The table of layers.
        context: The context that the measurements read; its intermediate results are filled in here.
        warm_start: The warm start that the last observation has left.
        timer: Times the phases.
    """

    def __init__(
        self,
        runner: ModelRunner,
        measurements: Sequence[Measurement],
        layers: Sequence[LayerInfo],
        context: Context,
        warm_start: WarmStart,
        timer: PhaseTimer,
    ) -> None:
        self.runner = runner
        self.measurements = measurements
        self.context = context
        self.warm_start = warm_start
        self.timer = timer
        self.records: dict[str, Record] = {}
        self.deferred: dict[str, Deferred] = {}
        intermediates = context.intermediates
        intermediates.previous_states = warm_start.states
        intermediates.forward_fn = runner.outputs
        intermediates.output_fn = runner.read_output
        intermediates.samples_fn = runner.map_samples
        intermediates.gradient_fn = self._gradient_captures
        self._needs: set[str] = set()
        for measurement in measurements:
            self._needs |= measurement.needs
        self._layers = layers if self._needs & ACTIVATION_NEEDS else ()

    def _gradient_captures(self, probe: Probe, input_gradients: bool) -> Generator[Capture, None, None]:
        decision = self.runner.decision if self.context.may_read_class_scores else OutputDecision()
        return self.runner.gradient_captures(probe, self._layers, input_gradients, decision)

    def run(self) -> tuple[PendingObservation, WarmStart]:
        """Makes the observation, and the warm start of the next one; afterwards the captured tensors are released."""
        try:
            self._run()
            pending = PendingObservation(self._observation(), self.deferred, self.measurements, self.context.notes)
            return pending, self._next_warm_start()
        finally:
            # It refers to this object, and a cycle would keep the tensors until the next garbage collection.
            self.context.intermediates.gradient_fn = None

    def _run(self) -> None:
        early = []
        late = []
        for measurement in self.measurements:
            if "forward" in measurement.needs and "factorization" not in measurement.needs:
                early.append(measurement)
            else:
                late.append(measurement)
        n_entries = 0
        if self._needs & CAPTURE_NEEDS:
            capture, partition = self._capture(early)
            if "factorization" in self._needs:
                n_entries = factorize_capture(self.context, capture, partition, self.warm_start.F, self.timer)
        for measurement in late:
            if "factorization" in measurement.needs:
                with limit_threads(n_entries), torch.no_grad(), full_precision():
                    self._measure(measurement)
            else:
                self._measure(measurement)

    def _capture(self, measurements: Sequence[Measurement]) -> tuple[Capture, Partition]:
        """Makes the forward pass of the probe, and the measurements that only need further forward passes."""
        with self.runner.isolated():
            with self.timer("capture"):
                capture, partition = self.runner.capture(self.context.probe, self._layers)
            self.context.intermediates.capture = capture
            self.context.intermediates.partition = partition
            for measurement in measurements:
                self._measure(measurement)
        return capture, partition

    def _measure(self, measurement: Measurement) -> None:
        """Makes one measurement and keeps its record."""
        intermediates = self.context.intermediates
        intermediates.measurement = measurement.name
        intermediates.needs = measurement.needs
        if "class_scores" in measurement.needs and not self._has_class_scores():
            self.context.note(no_class_scores(measurement, self.context.output_decision))
            return
        with unchanged_tensors(self.context, measurement.name), self.timer(measurement.name):
            try:
                found = measurement.measure(self.context)
            finally:
                intermediates.close_captures()  # while an error's traceback, or the measurement, still holds them
        self._keep(measurement, found)

    def _keep(self, measurement: Measurement, found: Any) -> None:
        if isinstance(found, Deferred):
            self.deferred[measurement.name] = found
        elif found is not None:
            self.records[measurement.name] = as_record(measurement, found)

    def _has_class_scores(self) -> bool:
        capture = self.context.intermediates.capture
        return capture is not None and capture.outputs is not None

    def _observation(self) -> Observation:
        """The records in the order of the measurements, the cost last."""
        context = self.context
        factorization = context.intermediates.factorization
        notes = list(context.notes)
        if factorization is not None:
            notes.insert(0, f"factorisation: {factorization.status}")
        decision = context.output_decision
        if self._needs & OUTPUT_NEEDS and decision.kind in NAMES and not decision.is_provisional:
            notes.append(decision.line)
        records: dict[str, Record] = {}
        for measurement in self.measurements:
            if measurement.name in self.records:
                records[measurement.name] = self.records[measurement.name]
        records["cost"] = self.timer.cost()
        inputs = context.probe.inputs
        setup = observation_setup(context, self._layers, self.measurements)
        return Observation(
            epoch=context.epoch,
            step=context.step,
            records=records,
            inputs=inputs if inputs.ndim == 4 else None,
            factorization=factorization,
            notes=tuple(notes),
            setup=setup,
        )

    def _next_warm_start(self) -> WarmStart:
        intermediates = self.context.intermediates
        F = None if intermediates.factorization is None else intermediates.factorization.F
        return WarmStart(F, intermediates.states)
