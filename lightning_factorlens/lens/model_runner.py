"""The calls of a model by a lens: in isolation, in batches, divided between several processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import clone
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.capture.activations import Capture, capture_activations, capture_batches
from lightning_factorlens.capture.default_layers import TracedOutput
from lightning_factorlens.capture.distributed import CaptureFn, capture_distributed, forward_distributed
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.forward_gradients import (
    ForwardNeeds,
    detach_output,
    lacks_gradients,
)
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.config import PROBE_SIZE, LensOptions
from lightning_factorlens.distributed import Partition, SingleProcess, make_partition
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results import LayerInfo
from lightning_factorlens.sampling.sample_source import probe_of

T = TypeVar("T")
#: Makes forward passes of some samples with what calls the model.
SampleFunction = Callable[[Probe, Callable[[Any], Any]], T]
#: See `ModelRunner.source`.
CaptureSource = Callable[[CaptureFn, Probe, Sequence[LayerInfo]], Capture]


@dataclass
class ModelRunner:
    """Sends batches through a model that is left exactly as found.

    Attributes:
        model: The model.
        options: Which neurons are kept.
        forward_fn: ``(model, batch) → output``; None calls the model on the batch. Where it has a method
            ``inputs(batch)``, that selects the tensor that counts as the input.
        forward_context: Makes the context of every forward pass, e.g. a Trainer's autocast.
        process_group: The processes between which the samples are divided.
        used: The parameters that forward passes have used; those without gradients are recorded.
        needs: What forward passes have turned out to need.
        decision: Which part of the model's output is read.
        probe_size: Number of samples that are drawn of a dataset or a loader.
        source: Receives a function that makes a pass of some samples, the samples and the layers, and returns their
            capture, which may have been made before; None to make the pass.
        is_sharded: Whether several processes hold parts of the model's parameters, so that a pass needs all of them.
    """

    model: nn.Module
    options: LensOptions
    forward_fn: ForwardFn | None
    forward_context: Callable[[], AbstractContextManager[Any]]
    process_group: SingleProcess
    used: UsedParameters = field(default_factory=UsedParameters)
    needs: ForwardNeeds = field(default_factory=ForwardNeeds)
    decision: OutputDecision = field(default_factory=OutputDecision)
    probe_size: int = PROBE_SIZE
    source: CaptureSource | None = None

    def __post_init__(self) -> None:
        self._is_isolated = False
        self.is_sharded = self.process_group.world_size > 1 and bool(sharded_parameters(self.model))

    def start_lockstep(self, probe: Probe) -> None:
        """Lets this process take part in the other processes' forward passes of a sharded model.

        Args:
            probe: Its first two samples pass where this process has no pass of its own to make; a model may fail for
                one alone, e.g. where it drops axes of length 1.
        """
        if self.is_sharded:
            self.process_group.join_pass = partial(self._join_pass, probe)

    def _join_pass(self, probe: Probe) -> None:
        """A forward pass whose results are dropped; no hook of the lens is there."""
        with self.isolated():
            self._call_alone(probe.part(0, 2).data)

    def wrap(self, probe: Any) -> Probe:
        """The samples as a probe on the model's device; where the model lies on several, on the probe's own.

        Raises:
            ValueError: There are none.
        """
        pick = getattr(self.forward_fn, "inputs", None)
        keep_data = self.forward_fn is not None and not getattr(self.forward_fn, "takes_inputs_alone", False)
        wrapped = probe_of(probe, self.probe_size, self.options.seed, pick, keep_data=keep_data)
        if not len(wrapped):
            raise ValueError("probe: found no samples; pass at least one.")
        devices = {parameter.device for parameter in self.model.parameters()}
        if len(devices) == 1:
            return wrapped.to(devices.pop())
        return wrapped

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Inside, the model is in evaluation mode without gradients; may be nested."""
        if self._is_isolated:
            yield
            return
        self._is_isolated = True
        try:
            with isolate_model(self.model, gradients=self.needs.gradients), torch.no_grad(), self.forward_context():
                yield
        finally:
            self._is_isolated = False

    def trace(self, batch: Batch) -> list[TracedOutput]:
        """Every tensor of one forward pass, with gradients if ``forward`` needs them."""
        try:
            with self.isolated(), self.used.record(self.model):
                return trace_layers(self.model, self.call, batch)
        except RuntimeError as error:
            if self.needs.gradients or not lacks_gradients(error):
                raise
        self.needs.gradients = True
        return self.trace(batch)

    def read_output(self, batch: Batch) -> Tensor | None:
        """The part of the output for a batch that is read, whatever it is, float32; see `OutputDecision.tensor`."""
        with self.isolated():
            return self.decision.tensor(self.call(batch.data), len(batch))

    def capture(self, probe: Probe, layers: Sequence[LayerInfo]) -> tuple[Capture, Partition]:
        """Activations and outputs for the probe, and which features of them this process holds."""
        capture = self._recorded_capture if self.source is None else partial(self.source, self._recorded_capture)
        with self.isolated():
            return capture_distributed(self.process_group, capture, probe, layers)

    def map_samples(self, probe: Probe, function: SampleFunction[T]) -> list[T]:
        """Lets a function of its own make the forward passes of a probe, the samples divided between the processes.

        Args:
            probe: The samples; all processes hold the same.
            function: Receives this process's samples and what calls the model on the data of a batch. The model is
                isolated meanwhile.

        Returns:
            The results of all processes, in the order of the samples, on every process. They must be picklable where
            there are several.
        """
        partition = make_partition(self.process_group, probe.unit_ends(self.process_group.world_size))
        with self.isolated(), self.used.record(self.model):
            found = function(partition.local_samples(probe), self.call)
        return self.process_group.all_gather_object(found)

    def outputs(self, probes: Sequence[Probe], outputs: Tensor) -> list[Tensor]:
        """The outputs for changed copies of the probe; see `Context.forward`."""
        with self.isolated():
            return forward_distributed(self.process_group, self._capture, probes, outputs)

    def gradient_captures(
        self, probe: Probe, layers: Sequence[LayerInfo], input_gradients: bool, decision: OutputDecision
    ) -> Generator[Capture, None, None]:
        """Captures in the autograd graph, one batch after the other; see `Context.gradient_captures`."""
        options = self.options
        with isolate_model(self.model, gradients=True), self.forward_context():
            yield from capture_batches(
                self.model,
                self.call,
                probe,
                layers,
                options.max_neurons_per_layer,
                options.seed,
                input_gradients=input_gradients,
                decision=decision,
            )

    def call(self, batch: Any) -> Any:
        """The model's output for the data of a batch; of a sharded model, all processes take part."""
        if self.is_sharded:
            self.process_group.announce_pass()
        return self._call_alone(batch)

    def _call_alone(self, batch: Any) -> Any:
        batch = tree_map(clone, batch)  # a model that overwrites its input would otherwise change the probe
        if not self.needs.gradients or torch.is_grad_enabled():
            return self._forward(batch)
        with torch.enable_grad():
            return detach_output(self._forward(batch))

    def _forward(self, batch: Any) -> Any:
        if self.forward_fn is None:
            return self.model(batch)
        return self.forward_fn(self.model, batch)

    def _recorded_capture(self, probe: Probe, layers: Iterable[LayerInfo]) -> Capture:
        with self.used.record(self.model):
            return self._capture(probe, layers)

    def _capture(self, probe: Probe, layers: Iterable[LayerInfo]) -> Capture:
        options = self.options
        return capture_activations(
            self.model,
            self.call,
            probe,
            layers,
            options.max_neurons_per_layer,
            options.seed,
            decision=self.decision,
        )
