"""How `FactorLens` finds the layers of a model and the part of its output that is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import Size

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.default_layers import TracedOutput
from lightning_factorlens.capture.out_of_memory import run_pass
from lightning_factorlens.capture.output_parts import OutputPart
from lightning_factorlens.capture.output_reader import OutputReader
from lightning_factorlens.capture.outputs import Outputs
from lightning_factorlens.capture.parameter_values import check_parameter_values
from lightning_factorlens.capture.refused_inputs import describe_refused_inputs
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.capture.sharding_problems import sharding_problem
from lightning_factorlens.capture.size_changes import compare_sizes
from lightning_factorlens.config import LensOptions
from lightning_factorlens.lens.method_base import LensMethods
from lightning_factorlens.lens.model_runner import ModelRunner
from lightning_factorlens.lens.output_inspection import find_output_parts
from lightning_factorlens.measurements import Measurement
from lightning_factorlens.results import LayerInfo
from lightning_factorlens.results.layer_table import LayerTable
from lightning_factorlens.run_state import RunState

#: Samples in the trace that finds the layers: enough to see a sign.
TRACE_BATCH = 4
#: Samples in the forward pass that finds the parts of the output.
OUTPUT_BATCH = 3


class SelectionMethods(LensMethods):
    """The methods of `FactorLens` for the choice of layers and of the output.

    The docstring of `FactorLens` describes the attributes.
    """

    measurements: Sequence[Measurement]
    state: RunState
    output_word: Outputs | None
    output_reader: OutputReader | None
    _traced_shape: Size | None

    @property
    def needs(self) -> frozenset[str]:
        """All needs of the measurements."""
        needs: set[str] = set()
        for measurement in self.measurements:
            needs |= measurement.needs
        return frozenset(needs)

    def select_layers(self, probe: Any, previous: Collection[str] = ()) -> list[LayerInfo]:
        """Finds the layers with one forward pass of a few samples; `measure` calls it unless that was done before.

        Args:
            probe: The samples, as in `observe`.
            previous: Names of the layers selected before a run was interrupted, see `capture.selection.select_layers`.

        Returns:
            One entry for each tensor of the forward pass: whether it is selected, and why.

        Raises:
            ValueError: Patterns that match nothing, fewer samples than the largest rank that was given, or a model
                whose parameters have no values or are divided in a way that cannot be observed.
            RuntimeError: The model's forward pass fails; the message says with samples of which shape and type.
        """
        runner = self._runner()
        samples = runner.wrap(probe)
        self._check_model()
        runner.start_lockstep(samples)
        self.options_for(samples)
        traces: list[list[TracedOutput]] = []

        def trace(batch: Batch, _: int) -> None:
            with describe_refused_inputs(self.model, batch):
                traces.append(runner.trace(batch))

        run_pass(samples, trace, samples.smallest_batch, TRACE_BATCH)
        traced = traces[0]
        if len(samples.whole) > 1:
            run_pass(samples, trace, samples.largest_batch, TRACE_BATCH)
            traced = compare_sizes(*traces)
        table = select_layers(traced, self.options.layers, previous)
        self.layer_table = LayerTable(self.process_group.broadcast_object(lambda: table))
        self._traced_shape = samples.inputs.shape[1:]
        self._decide_outputs(runner, samples)
        return self.layer_table

    def options_for(self, probe: Probe) -> LensOptions:
        """The options with which a probe is measured: default ranks above its number of samples are left out.

        Raises:
            ValueError: A rank that the user gave is above the number of samples.
        """
        if "factorization" not in self.needs:
            return self.options
        return self.options.for_samples(len(probe), probe.is_limited)

    def _decide_outputs(self, runner: ModelRunner, probe: Probe) -> None:
        """Decides which part of the output is read, the same in all processes.

        A decision that `state` holds is kept, unless the user says otherwise.
        """
        found: list[tuple[OutputPart, ...]] = []
        run_pass(
            probe, lambda batch, _: found.append(find_output_parts(runner, batch)), probe.smallest_batch, OUTPUT_BATCH
        )
        self.output_reader = OutputReader(self.model, found[0], self.output_word)
        decision = self.output_reader.decide()
        if self.output_word is None and self.state.output_decision is not None:
            decision = self.state.output_decision
        self.output_decision = self.process_group.broadcast_object(lambda: decision)

    def _fits_layers(self, samples: Probe) -> bool:
        """Whether the layers are those of samples of this shape; images of another size have layers of another size."""
        if not self.layer_table:
            self.select_layers(samples)
        return self._traced_shape in (None, samples.inputs.shape[1:])

    def _check_model(self) -> None:
        """Refuses parameters without values, and divisions between processes under which the numbers would be wrong."""
        check_parameter_values(self.model)
        problem = sharding_problem(self.model, self.process_group, "gradients" in self.needs)
        if problem:
            raise ValueError(f"model: {problem}")
        for measurement in self.measurements:
            measurement.check_model(self.model)
