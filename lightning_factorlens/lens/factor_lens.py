"""FactorLens: one observation of one model, made by the other packages together, without lightning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from torch import Size, nn

from lightning_factorlens._validation import check_int
from lightning_factorlens.argument_advice import FOR_LENS
from lightning_factorlens.capture.forward_fn import ForwardFn, check_forward_fn
from lightning_factorlens.capture.forward_gradients import ForwardNeeds
from lightning_factorlens.capture.output_reader import OutputReader
from lightning_factorlens.capture.outputs import OutputDecision, Outputs, check_outputs
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.capture.wrapped_model import unwrap_model
from lightning_factorlens.config import PROBE_SIZE, LensOptions, options_with
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.lens.concept_methods import ConceptMethods
from lightning_factorlens.lens.hierarchy_methods import HierarchyMethods
from lightning_factorlens.lens.layer_methods import LayerMethods
from lightning_factorlens.lens.model_runner import CaptureSource, ModelRunner
from lightning_factorlens.lens.observation_methods import ObservationMethods
from lightning_factorlens.lens.visualization_methods import VisualizationMethods
from lightning_factorlens.measurements import Measurement, check_measurements, default_measurements
from lightning_factorlens.results import LayerInfo
from lightning_factorlens.results.layer_table import LayerTable, lens_html, lens_text
from lightning_factorlens.run_state import RunState


@dataclass(repr=False, init=False)
class FactorLens(ObservationMethods, ConceptMethods, HierarchyMethods, LayerMethods, VisualizationMethods):
    """Observes a model through unlabelled samples.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> lens = FactorLens(model, ranks=(1, 4))
        >>> observation = lens.observe(torch.rand(32, 1, 8, 8))
        >>> len(observation["reconstruction_error"]["total"].rel_error)
        2

    Attributes:
        model: The model; it is left exactly as found. Of a module of Lightning Fabric, ``DistributedDataParallel`` or
            ``DataParallel`` it is the network inside, whose layers have the names that they have without the wrapper.
        options: What to capture and how to factorise it.
        measurements: What to measure; `default_measurements` unless given.
        forward_fn: ``(model, batch) → output``, for models that need more of a batch than one tensor, e.g.
            ``ForwardArgs(["image", "mask"])``; the model itself unless given. Where it has a method
            ``inputs(batch)``, that selects the tensor that counts as the input; else `find_inputs` does.
        forward_context: Makes the context of every forward pass, e.g. a Trainer's autocast.
        process_group: The processes between which the work is divided, see `get_process_group`; each must call
            `measure` inside ``process_group.synchronized_errors()``. Of a sharded model, those that hold its parts.
        outputs: What the model's output is: ``"classes"``, ``"multilabel"``, ``"regression"``, ``"embedding"``, another
            of `capture.outputs.KINDS`, or an object such as ``Outputs("classes", key="sex")``. None decides by a
            softmax in the model or by its torchmetrics modules; where neither tells, no class scores are read.
        state: The state that is kept from one observation to the next.
        probe_size: Number of samples that are drawn where a dataset or a loader is passed as a probe.
        layer_table: The layers that were selected and those that were not, with the reasons; empty before the first
            observation. ``print(lens.layer_table)`` shows it whole.
        output_decision: Which part of the output is read, as what, and why.
        capture_source: Where captures of the probe come from, see `ModelRunner.source`; None for passes of the lens.

    Raises:
        ValueError, TypeError: A wrong argument; the message names it.
    """

    model: nn.Module
    options: LensOptions
    measurements: Sequence[Measurement]
    forward_fn: ForwardFn | None
    forward_context: Callable[[], AbstractContextManager[Any]]
    process_group: SingleProcess
    state: RunState
    outputs: str | Outputs | None
    probe_size: int

    def __init__(
        self,
        model: nn.Module,
        options: LensOptions | None = None,
        measurements: Sequence[Measurement] | None = None,
        forward_fn: ForwardFn | None = None,
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        process_group: SingleProcess | None = None,
        state: RunState | None = None,
        outputs: str | Outputs | None = None,
        probe_size: int = PROBE_SIZE,
        **lens_options: Any,
    ) -> None:
        """See the class; ``lens_options`` are fields of `LensOptions`, such as ``ranks=(1, 4)``."""
        if not isinstance(model, nn.Module):
            found = shorten(repr(model), 80, placeholder=" …")
            raise TypeError(
                f"model: must be a torch.nn.Module, found {found}. Make an object of its class first, and give it the "
                "weights of a checkpoint with its method load_state_dict."
            )
        check_int("probe_size", probe_size, 1)
        self.model, self.forward_fn = unwrap_model(model, check_forward_fn(forward_fn))
        self.options = options_with(options, lens_options, advice=FOR_LENS, made=FactorLens)
        self.measurements = check_measurements(default_measurements() if measurements is None else measurements)
        self.forward_context = forward_context
        self.process_group = SingleProcess() if process_group is None else process_group
        self.state = RunState() if state is None else state
        self.outputs = outputs
        self.probe_size = probe_size
        self.output_word = check_outputs(outputs)
        self.layer_table: list[LayerInfo] = LayerTable()
        self.output_reader: OutputReader | None = None
        self.output_decision = OutputDecision()
        self.capture_source: CaptureSource | None = None
        self._cache: dict[str, Any] = {}
        self._traced_shape: Size | None = None
        self._used = UsedParameters()
        self._forward_needs = ForwardNeeds()

    def __repr__(self) -> str:
        return lens_text(type(self.model).__name__, self.options.ranks, self.layer_table)

    def _repr_html_(self) -> str:
        return lens_html(type(self.model).__name__, self.options.ranks, self.layer_table)

    def _copy(self) -> FactorLens:
        """A lens of the same model and options that has selected no layers."""
        return replace(self)

    def _runner(self) -> ModelRunner:
        return ModelRunner(
            self.model,
            self.options,
            self.forward_fn,
            self.forward_context,
            self.process_group,
            used=self._used,
            needs=self._forward_needs,
            probe_size=self.probe_size,
            source=self.capture_source,
        )
