"""The calls of a model by a lens: in isolation, in batches, divided between several processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lightning_factorlens.capture.activations import Capture, capture_activations, capture_batches
from lightning_factorlens.capture.batch import Batch
from lightning_factorlens.capture.default_layers import TracedOutput
from lightning_factorlens.capture.distributed import capture_distributed, forward_distributed
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.capture.probe import Probe
from lightning_factorlens.capture.selection import trace_layers
from lightning_factorlens.capture.tree import clone, tree_map
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import Partition, SingleProcess
from lightning_factorlens.results import LayerInfo


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
    """

    model: nn.Module
    options: LensOptions
    forward_fn: ForwardFn | None
    forward_context: Callable[[], AbstractContextManager[Any]]
    process_group: SingleProcess

    def __post_init__(self) -> None:
        self._is_isolated = False

    def wrap(self, probe: Any) -> Probe:
        """The samples as a probe."""
        return Probe.wrap(probe, getattr(self.forward_fn, "inputs", None))

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Inside, the model is in evaluation mode without gradients; may be nested."""
        if self._is_isolated:
            yield
            return
        self._is_isolated = True
        try:
            with isolate_model(self.model), self.forward_context():
                yield
        finally:
            self._is_isolated = False

    def trace(self, batch: Batch) -> list[TracedOutput]:
        """Every tensor of one forward pass."""
        with self.isolated():
            return trace_layers(self.model, self._call, batch)

    def capture(self, probe: Probe, layers: Sequence[LayerInfo]) -> tuple[Capture, Partition]:
        """Activations and outputs for the probe, and which features of them this process holds."""
        with self.isolated():
            return capture_distributed(self.process_group, self._capture, probe, layers)

    def outputs(self, probes: Sequence[Probe], outputs: Tensor) -> list[Tensor]:
        """The outputs for changed copies of the probe; see `Context.forward`."""
        with self.isolated():
            return forward_distributed(self.process_group, self._capture, probes, outputs)

    def gradient_captures(
        self, probe: Probe, layers: Sequence[LayerInfo], input_gradients: bool
    ) -> Generator[Capture, None, None]:
        """Captures in the autograd graph, one batch after the other; see `Context.gradient_captures`."""
        options = self.options
        with isolate_model(self.model, gradients=True), self.forward_context():
            yield from capture_batches(
                self.model,
                self._call,
                probe,
                layers,
                options.max_neurons_per_layer,
                options.seed,
                input_gradients=input_gradients,
            )

    def _call(self, batch: Any) -> Any:
        batch = tree_map(clone, batch)  # a model that overwrites its input would otherwise change the probe
        if self.forward_fn is None:
            return self.model(batch)
        return self.forward_fn(self.model, batch)

    def _capture(self, probe: Probe, layers: Iterable[LayerInfo]) -> Capture:
        options = self.options
        return capture_activations(self.model, self._call, probe, layers, options.max_neurons_per_layer, options.seed)
