"""FactorLens: one observation of one model. Arranges the rooms, holds what lasts between looks; no lightning here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.activations import Capture, capture_activations, input_blocks
from lightning_factorlens.capture.batch import Batch
from lightning_factorlens.capture.distributed import (
    apply_sign_policies_distributed,
    capture_distributed,
    forward_distributed,
)
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.capture.selection import select_layers, trace_layers
from lightning_factorlens.capture.signs import resolve_sign_policy
from lightning_factorlens.capture.weights import WeightLayer, sharded_parameters, weight_layers
from lightning_factorlens.concepts.similarity import layer_similarities
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import Partition, SingleProcess, map_distributed
from lightning_factorlens.factorization import fit, full_precision, make_problem
from lightning_factorlens.linalg.threads import limit_threads
from lightning_factorlens.metrics.confidence import kl_to_uniform
from lightning_factorlens.metrics.consistency import alternating_shift, default_shift
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.metrics.required_rank import required_rank
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble, pseudo_label_cross_entropy
from lightning_factorlens.results import Block, Factorization, LayerInfo, LayerSpectrum, Observation, render
from lightning_factorlens.spectra.layer_spectra import SpectraCache, alpha_summary, layer_spectra, spectrum_cost

#: Images of the dry pass: enough to see a sign, few enough to keep every tensor alive.
TRACE_BATCH = 4


class PhaseTimer:
    """Seconds by phase."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Times what happens inside."""
        start = time.perf_counter()
        try:
            yield
            if self.device.type == "cuda":  # kernels are asynchronous: wait for what the phase started
                torch.cuda.synchronize(self.device)
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    def total(self) -> dict[str, float]:
        """The phases and their sum."""
        return {**self.seconds, "total": sum(self.seconds.values())}


@dataclass(frozen=True)
class WarmStart:
    """What one look leaves to the next. A look that fails leaves what there was.

    Attributes:
        F: The last factors, one per rank, (rank, N): the next factorisation starts from them. None starts it cold.
        predictions: Moving average of the network's answers, (N, K), see `SteadyLabels`. None begins it.
    """

    F: tuple[Tensor, ...] | None = None
    predictions: Tensor | None = None

    def cpu(self) -> WarmStart:
        """For a checkpoint."""
        F = None if self.F is None else tuple(f.detach().cpu() for f in self.F)
        return WarmStart(F, None if self.predictions is None else self.predictions.cpu())


@dataclass(repr=False)
class FactorLens:
    """Looks at a model through unlabeled images.

    Example:
        >>> lens = FactorLens(model, LensOptions(ranks=(1, 4, 16)))  # doctest: +SKIP
        >>> lens.observe(images).curves["total"].rel_error  # doctest: +SKIP

    Attributes:
        model: The model; it is left exactly as found.
        options: What to measure.
        forward: How to call the model on a batch; the model itself unless given. A method ``inputs(batch)`` of it says
            which tensor counts as the input; without one `input_of` finds it.
        context: Makes the context of every forward pass (a trainer's autocast).
        team: The processes that share the work; every one of them must observe, inside ``team.together()``.
    """

    model: nn.Module
    options: LensOptions = field(default_factory=LensOptions)
    forward_fn: Callable[[Any], Any] | None = None
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    process_group: SingleProcess = field(default_factory=SingleProcess)

    def __post_init__(self) -> None:
        self.layer_table: list[LayerInfo] = []
        self.warm_start = WarmStart()
        self.spectra = SpectraCache()

    def __repr__(self) -> str:
        return str(render("lens_text", type(self.model).__name__, self.options.ranks, self.layer_table))

    def _repr_html_(self) -> str:
        return str(render("lens_html", type(self.model).__name__, self.options.ranks, self.layer_table))

    def select_layers(self, probe: Any, previous: Collection[str] = ()) -> list[LayerInfo]:
        """Finds the layers by one dry pass; `observe` does it when nobody has.

        Args:
            probe: As in `observe`.
            earlier: Layers kept before a run was interrupted, see `choose_layers`.

        Returns:
            The table of what is kept, what is skipped, and why.

        Raises:
            ValueError: Patterns that match nothing, fewer images than the largest rank, or a model whose
                parameters have no values or lie in pieces.
        """
        batch = self._batch(probe)
        hollow = [n for n, p in self.model.named_parameters() if p.is_meta or nn.parameter.is_lazy(p)]
        if hollow:
            raise ValueError(
                f"model: {len(hollow)} parameters have no values yet (meta device or lazy), first {hollow[0]!r}; "
                "run one batch through the model, or materialise it, before the lens looks."
            )
        if pieces := sharded_parameters(self.model):
            raise ValueError(
                f"model: {len(pieces)} parameters lie in pieces in several processes (fully_shard, FSDP, DeepSpeed or "
                f"tensor parallelism), first {pieces[0]!r}; the lens needs them whole. Train with DDP or on a single "
                "device, or observe a checkpoint with FactorLens."
            )
        largest = max(self.options.ranks)
        if len(batch) < largest:
            raise ValueError(
                f"ranks: rank {largest} needs a probe of at least {largest} images, found {len(batch)}; "
                "raise `probe_size` or lower the ranks."
            )
        with isolate_model(self.model), self.forward_context():
            seen = trace_layers(self.model, self._call, batch[:TRACE_BATCH])
        found = select_layers(seen, self.options.layers, previous)
        self.layer_table = self.process_group.broadcast_object(lambda: found)
        return self.layer_table

    def observe(self, probe: Any, epoch: int = 0, step: int = 0) -> Observation:
        """One look.

        Args:
            probe: Images (N, C, H, W), other inputs (N, …), or a batch that ``forward`` takes; on the model's device.
            epoch: For the record. A look at epoch 0 and step 0 is at a network that has learnt nothing yet: its
                answers do not enter the steady labels behind ``consistency``.
            step: For the record.

        Returns:
            Everything that was measured.

        Raises:
            ValueError: As `choose`; or values that are NaN or infinite, with the layer's name.
        """
        batch = self._batch(probe)
        images = batch.inputs
        if not self.layer_table:
            self.select_layers(batch)
        o, watch = self.options, PhaseTimer(images.device)
        with isolate_model(self.model), self.forward_context():
            with watch("probe"):
                answer, partition = capture_distributed(self.process_group, self._ask, batch, self.layer_table)
            with watch("consistency"):
                moved, predictions = self._consistency(batch, answer, trained=epoch > 0 or step > 0)
        with watch("factorization"):
            blocks, partition = self._blocks(images, answer, partition)
            start = self._start(images)
        numbers = sum(block.samples.numel() for block in blocks)
        with limit_threads(numbers), watch("factorization"):
            problem = make_problem(blocks, o.weighting, partition, o.solver, warm=start is not None)
            result = fit(problem, o.ranks, solver=o.solver, start=start, seed=o.seed)
        with limit_threads(numbers), watch("metrics"), torch.no_grad(), full_precision():
            scopes = BlockGroups(problem)
            curves = scopes.curves(result)
            floors = scopes.svd_curves(curves)
            effective, rms = scopes.effective_ranks(), scopes.rms()
            similarity = layer_similarities(result)
        with watch("spectra"):
            spectra = self._spectra()
        self.warm_start = WarmStart(result.F, predictions)
        return Observation(
            epoch=epoch,
            step=step,
            curves=curves,
            svd_curves=floors,
            required_ranks=tuple(required_rank(curves["total"], tau) for tau in o.error_thresholds),
            effective_rank=effective,
            rms=rms,
            consistency=moved,
            spectra=spectra,
            alpha=alpha_summary(spectra),
            seconds=watch.total(),
            images=images if images.ndim == 4 else None,
            factorization=result,
            similarity=similarity,
            notes=self._notes(batch, moved, result),
        )

    def reset(self) -> None:
        """The next look is like the first: for a probe of other images."""
        self.warm_start = WarmStart()

    def _start(self, images: Tensor) -> tuple[Tensor, ...] | None:
        """The last factors, where they are of these ranks and so many images."""
        wanted, last = [(r, len(images)) for r in self.options.ranks], self.warm_start.F
        return last if last is not None and [tuple(f.shape) for f in last] == wanted else None

    def _batch(self, probe: Any) -> Batch:
        return Batch.wrap(probe, getattr(self.forward_fn, "inputs", None))

    def _call(self, batch: Any) -> Any:
        return (self.forward_fn or self.model)(batch)

    def _ask(self, batch: Batch, choices: Iterable[LayerInfo]) -> Capture:
        return capture_activations(
            self.model, self._call, batch, choices, self.options.max_neurons_per_layer, self.options.seed
        )

    def _consistency(self, batch: Batch, answer: Capture, trained: bool) -> tuple[float | None, Tensor | None]:
        """And the average of the predictions; None where a shift has no meaning, or outputs are no (N, K) numbers."""
        pixels = (
            default_shift(batch.inputs) if self.options.consistency_shift is None else self.options.consistency_shift
        )
        if not pixels or answer.outputs is None or batch.inputs.ndim != 4:
            return None, None
        moved = batch.with_inputs(alternating_shift(batch.inputs, pixels))
        outputs = [] if moved is None else forward_distributed(self.process_group, self._ask, [moved], answer.outputs)
        if not outputs:
            return None, None
        last = self.warm_start.predictions if trained else None
        steady = TemporalEnsemble(average=last if last is not None and last.shape == answer.outputs.shape else None)
        labels = steady.update(answer.outputs)
        c = pseudo_label_cross_entropy(labels, outputs) + kl_to_uniform(answer.outputs)
        return c, steady.average if trained else None

    def _notes(self, batch: Batch, moved: float | None, result: Factorization) -> tuple[str, ...]:
        """What a reader of the numbers must know."""
        notes = [f"factorisation: {result.status}"]
        if moved is None:
            asked = batch.inputs.ndim == 4 and self.options.consistency_shift != 0
            notes.append(f"no consistency: {'the outputs are not (N, classes)' if asked else 'no images are shifted'}")
        return tuple(notes)

    def _blocks(self, images: Tensor, answer: Capture, partition: Partition) -> tuple[list[Block], Partition]:
        o = self.options
        inputs = resolve_sign_policy("input_sign_policy", o.input_sign_policy)
        activations = resolve_sign_policy("activation_sign_policy", o.activation_sign_policy)
        pixels = input_blocks(images, o.max_neurons_per_layer, o.seed)
        blocks, partition = apply_sign_policies_distributed(partition, pixels, answer.layers, inputs, activations)
        target = blocks[-1].samples
        device = "cpu" if target.device.type == "mps" else target.device  # that backend has no float64
        return [replace(b, samples=b.samples.to(device, target.dtype)) for b in blocks], partition

    def _spectra(self) -> tuple[LayerSpectrum, ...]:
        if not self.options.fit_power_law:
            return ()
        layers = weight_layers(self.model)
        costs = [spectrum_cost(layer) for layer in layers]

        def spectra_of(own: list[WeightLayer]) -> Sequence[LayerSpectrum]:
            return layer_spectra(self.model, cache=self.spectra, layers=own)

        return tuple(map_distributed(self.process_group, spectra_of, layers, costs))
