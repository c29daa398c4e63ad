"""FactorLens: one observation of one model. It arranges the packages; it does not know lightning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.activations import Capture, capture_activations, capture_batches, input_blocks
from lightning_factorlens.capture.batch import Batch
from lightning_factorlens.capture.distributed import (
    apply_sign_policies_distributed,
    capture_distributed,
    forward_distributed,
)
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.capture.selection import select_layers, trace_layers
from lightning_factorlens.capture.signs import resolve_sign_policy
from lightning_factorlens.capture.weights import sharded_parameters
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import Partition, SingleProcess
from lightning_factorlens.factorization import fit, full_precision, make_problem
from lightning_factorlens.linalg.threads import limit_threads
from lightning_factorlens.measurements import (
    Context,
    Intermediates,
    Measurement,
    check_measurements,
    default_measurements,
)
from lightning_factorlens.results import Block, Cost, LayerInfo, Observation, Record, Scalars, _text
from lightning_factorlens.run_state import RunState, WarmStart

#: Samples in the trace that finds the layers: enough to see a sign, few enough to keep every tensor in memory.
TRACE_BATCH = 4
#: Needs for which the probe's activations and outputs are captured.
CAPTURE_NEEDS = frozenset({"capture", "factorization", "forward"})
#: Needs for which layers are selected.
LAYER_NEEDS = CAPTURE_NEEDS | {"gradients"}


class PhaseTimer:
    """Seconds by phase.

    Args:
        clock: Returns seconds.
        device: Device whose kernels a phase waits for.
    """

    def __init__(self, clock: Callable[[], float], device: torch.device) -> None:
        self.clock = clock
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Times what happens inside."""
        start = self.clock()
        try:
            yield
            if self.device.type == "cuda":  # kernels are asynchronous: wait for what the phase has started
                torch.cuda.synchronize(self.device)
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + self.clock() - start

    def cost(self) -> Cost:
        """The phases and their sum."""
        return Cost({**self.seconds, "total": sum(self.seconds.values())})


@dataclass(repr=False)
class FactorLens:
    """Observes a model through unlabeled samples.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> lens = FactorLens(model, LensOptions(ranks=(1, 4)))
        >>> observation = lens.observe(torch.rand(32, 1, 8, 8))
        >>> len(observation["reconstruction_error"]["total"].rel_error)
        2

    Attributes:
        model: The model; it is left exactly as found.
        options: What to capture and how to factorise it.
        measurements: What to measure; `default_measurements` unless given.
        forward_fn: Calls the model on a batch; the model itself unless given. Where it has a method
            ``inputs(batch)``, that picks the tensor that counts as the input; else `find_inputs` does.
        forward_context: Makes the context of every forward pass, e.g. a Trainer's autocast.
        process_group: The processes that share the work; each must call `measure` inside
            ``process_group.synchronized_errors()``.
        state: What lasts from one observation to the next.
        layer_table: The layers that were selected and those that were not; empty before the first observation.

    Raises:
        ValueError, TypeError: A wrong list of measurements.
    """

    model: nn.Module
    options: LensOptions = field(default_factory=LensOptions)
    measurements: Sequence[Measurement] = field(default_factory=default_measurements)
    forward_fn: Callable[[Any], Any] | None = None
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    process_group: SingleProcess = field(default_factory=SingleProcess)
    state: RunState = field(default_factory=RunState)

    def __post_init__(self) -> None:
        self.measurements = check_measurements(self.measurements)
        self.layer_table: list[LayerInfo] = []
        self._cache: dict[str, Any] = {}

    def __repr__(self) -> str:
        return _text.lens_text(type(self.model).__name__, self.options.ranks, self.layer_table)

    def _repr_html_(self) -> str:
        return _text.lens_html(type(self.model).__name__, self.options.ranks, self.layer_table)

    @property
    def needs(self) -> frozenset[str]:
        """What any of the measurements needs."""
        return frozenset().union(*(measurement.needs for measurement in self.measurements))

    def select_layers(self, probe: Any, previous: Collection[str] = ()) -> list[LayerInfo]:
        """Finds the layers with one forward pass of a few samples; `measure` calls it where nobody has.

        Args:
            probe: The samples, as in `observe`.
            previous: Names of the layers selected before a run was interrupted, see `capture.selection.select_layers`.

        Returns:
            One entry for each tensor of the forward pass: whether it is selected, and why.

        Raises:
            ValueError: Patterns that match nothing, fewer samples than the largest rank, or a model whose parameters
                have no values or are sharded.
        """
        batch = self._batch(probe)
        self._check_model()
        largest = max(self.options.ranks)
        if "factorization" in self.needs and len(batch) < largest:
            raise ValueError(
                f"ranks: rank {largest} needs a probe of at least {largest} images, found {len(batch)}; "
                "raise `probe_size` or lower the ranks."
            )
        with isolate_model(self.model), self.forward_context():
            outputs = trace_layers(self.model, self._call, batch[:TRACE_BATCH])
        table = select_layers(outputs, self.options.layers, previous)
        self.layer_table = self.process_group.broadcast_object(lambda: table)
        return self.layer_table

    def observe(self, probe: Any, epoch: int = 0, step: int = 0) -> Observation:
        """Makes one observation and keeps in `state` what the next one starts from.

        Args:
            probe: Images (N, C, H, W), other inputs (N, …), or a batch that ``forward_fn`` takes; on the model's
                device.
            epoch: Number of finished epochs. An observation at epoch 0 and step 0 is of a network that has learnt
                nothing yet: its predictions do not enter later pseudo-labels.
            step: Position on the x axis of the loggers.

        Returns:
            The records of all measurements.

        Raises:
            ValueError: As `select_layers` raises it; or captured values that are NaN or infinite, with the layer's
                name.
        """
        observation, warm_start = self.measure(probe, epoch, step)
        self.state.record(observation, warm_start)
        return observation

    def measure(self, probe: Any, epoch: int = 0, step: int = 0) -> tuple[Observation, WarmStart]:
        """One observation, and what it leaves to the next; `state` is read and not changed.

        Args:
            probe: See `observe`, as for the others.
            epoch: Number of finished epochs.
            step: Position on the x axis.

        Returns:
            The observation and the warm start of the next one.

        Raises:
            ValueError: As `observe` raises it.
        """
        batch = self._batch(probe)
        if not self.layer_table and self.needs & LAYER_NEEDS:
            self.select_layers(batch)
        timer = PhaseTimer(self.state.budget.clock, batch.inputs.device)
        context = Context(
            model=self.model,
            options=self.options,
            probe=batch,
            epoch=epoch,
            step=step,
            process_group=self.process_group,
            cache=self._cache,
            intermediates=Intermediates(
                forward_fn=self._forward_outputs,
                gradient_fn=self._gradient_captures,
                previous_states=self.state.warm_start.states,
            ),
        )
        records: dict[str, Record] = {}
        partition = self._measure_with_model(context, timer, records)
        self._measure_without_model(context, partition, timer, records)
        return self._finish(context, timer, records)

    def reset(self) -> None:
        """Drops the warm start: the next observation is like the first, for a probe of other samples."""
        self.state.warm_start = WarmStart()

    def _measure_with_model(self, context: Context, timer: PhaseTimer, records: dict[str, Record]) -> Partition | None:
        """The forward pass of the probe, and the measurements that send further batches through the model.

        Returns:
            Which features of the captured blocks this process holds; None without a forward pass.
        """
        if not self.needs & CAPTURE_NEEDS:
            return None
        with isolate_model(self.model), self.forward_context():
            with timer("capture"):
                context.intermediates.capture, partition = capture_distributed(
                    self.process_group, self._capture, context.probe, self.layer_table
                )
            for measurement in self.measurements:
                if "forward" in measurement.needs:
                    self._run(measurement, context, timer, records)
        return partition

    def _measure_without_model(
        self, context: Context, partition: Partition | None, timer: PhaseTimer, records: dict[str, Record]
    ) -> None:
        """The factorisation, and all other measurements."""
        n_entries = 0
        if "factorization" in self.needs and partition is not None:
            with timer("factorization"):
                blocks, partition = self._blocks(context, partition)
            n_entries = sum(block.samples.numel() for block in blocks)
            with limit_threads(n_entries), timer("factorization"):
                self._factorize(context, blocks, partition)
        for measurement in self.measurements:
            if "forward" in measurement.needs:
                continue
            if "factorization" in measurement.needs:
                with limit_threads(n_entries), torch.no_grad(), full_precision():
                    self._run(measurement, context, timer, records)
            else:
                self._run(measurement, context, timer, records)

    def _run(self, measurement: Measurement, context: Context, timer: PhaseTimer, records: dict[str, Record]) -> None:
        """One measurement, its record among the others."""
        intermediates = context.intermediates
        intermediates.measurement = measurement.name
        intermediates.needs = measurement.needs
        with timer(measurement.name):
            found = measurement.measure(context)
        if found is not None:
            records[measurement.name] = found if isinstance(found, Record) else Scalars(dict(found))

    def _finish(self, context: Context, timer: PhaseTimer, records: dict[str, Record]) -> tuple[Observation, WarmStart]:
        """The observation, its records in the order of the measurements, its cost last."""
        factorization = context.intermediates.factorization
        notes = list(context.notes)
        if factorization is not None:
            notes.insert(0, f"factorisation: {factorization.status}")
        ordered = {m.name: records[m.name] for m in self.measurements if m.name in records}
        observation = Observation(
            epoch=context.epoch,
            step=context.step,
            records={**ordered, "cost": timer.cost()},
            inputs=context.probe.inputs if context.probe.inputs.ndim == 4 else None,
            factorization=factorization,
            notes=tuple(notes),
        )
        F = None if factorization is None else factorization.F
        return observation, WarmStart(F, context.intermediates.states)

    def _check_model(self) -> None:
        """Refuses parameters without values or in several processes."""
        without_values = [n for n, p in self.model.named_parameters() if p.is_meta or nn.parameter.is_lazy(p)]
        if without_values:
            raise ValueError(
                f"model: {len(without_values)} parameters have no values yet (meta device or lazy), first "
                f"{without_values[0]!r}; run one batch through the model, or materialise it, before it is observed."
            )
        sharded = sharded_parameters(self.model)
        if sharded:
            raise ValueError(
                f"model: {len(sharded)} parameters are sharded over several processes (fully_shard, FSDP, DeepSpeed "
                f"or tensor parallelism), first {sharded[0]!r}; the lens needs them whole. Train with DDP or on a "
                "single device, or observe a checkpoint with FactorLens."
            )

    def _batch(self, probe: Any) -> Batch:
        return Batch.wrap(probe, getattr(self.forward_fn, "inputs", None))

    def _call(self, batch: Any) -> Any:
        return (self.forward_fn or self.model)(batch)

    def _capture(self, batch: Batch, layers: Iterable[LayerInfo]) -> Capture:
        options = self.options
        return capture_activations(self.model, self._call, batch, layers, options.max_neurons_per_layer, options.seed)

    def _forward_outputs(self, probes: Sequence[Batch], outputs: Tensor) -> list[Tensor]:
        return forward_distributed(self.process_group, self._capture, probes, outputs)

    def _gradient_captures(self, probe: Batch, input_gradients: bool) -> Iterator[Capture]:
        options = self.options
        with isolate_model(self.model, gradients=True), self.forward_context():
            yield from capture_batches(
                self.model,
                self._call,
                probe,
                self.layer_table,
                options.max_neurons_per_layer,
                options.seed,
                input_gradients=input_gradients,
            )

    def _blocks(self, context: Context, partition: Partition) -> tuple[list[Block], Partition]:
        """Inputs and activations, non-negative, on one device."""
        options = self.options
        capture = context.intermediates.capture
        assert capture is not None
        inputs = input_blocks(context.probe.inputs, options.max_neurons_per_layer, options.seed)
        blocks, partition = apply_sign_policies_distributed(
            partition,
            inputs,
            capture.layers,
            resolve_sign_policy("input_sign_policy", options.input_sign_policy),
            resolve_sign_policy("activation_sign_policy", options.activation_sign_policy),
        )
        target = blocks[-1].samples
        device = "cpu" if target.device.type == "mps" else target.device  # that backend has no float64
        blocks = [replace(block, samples=block.samples.to(device, target.dtype)) for block in blocks]
        return blocks, partition

    def _factorize(self, context: Context, blocks: list[Block], partition: Partition) -> None:
        options = self.options
        start = self._warm_factors(len(context.probe))
        problem = make_problem(blocks, options.weighting, partition, options.solver, warm=start is not None)
        result = fit(problem, options.ranks, solver=options.solver, start=start, seed=options.seed)
        context.intermediates.problem = problem
        context.intermediates.factorization = result

    def _warm_factors(self, n_samples: int) -> tuple[Tensor, ...] | None:
        """The last factors, where they belong to these ranks and to as many samples."""
        F = self.state.warm_start.F
        if F is None:
            return None
        expected = [(rank, n_samples) for rank in self.options.ranks]
        return F if [tuple(factor.shape) for factor in F] == expected else None
