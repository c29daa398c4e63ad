"""FactorLens: one observation of one model. Arranges the rooms, holds what lasts between looks; no lightning here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.concepts.similarity import layer_similarities
from lightning_factorlens.factorization import fit, full_precision, pose
from lightning_factorlens.factorization.problem import CHUNK
from lightning_factorlens.linalg.threads import worthwhile_threads
from lightning_factorlens.metrics.confidence import imbalance
from lightning_factorlens.metrics.consistency import default_shift, shifted_in_turn
from lightning_factorlens.metrics.rank_curve import Scopes
from lightning_factorlens.metrics.required_rank import required_rank
from lightning_factorlens.metrics.spectra import SpectraCache, alpha_summary, layer_spectra, spectrum_cost
from lightning_factorlens.metrics.temporal_consistency import SteadyLabels, label_consistency
from lightning_factorlens.options import LensOptions
from lightning_factorlens.probing.batch import Batch
from lightning_factorlens.probing.guest import undisturbed
from lightning_factorlens.probing.probe import Answer, ask, input_blocks
from lightning_factorlens.probing.selection import choose_layers, dry_pass
from lightning_factorlens.probing.signs import sign_policy
from lightning_factorlens.probing.together import ask_together, outputs_together, settled_together
from lightning_factorlens.probing.weights import in_pieces, weight_layers
from lightning_factorlens.teamwork import Team, deal
from lightning_factorlens.types import Block, Factorization, LayerChoice, LayerSpectrum, Observation, shown

#: Images of the dry pass: enough to see a sign, few enough to keep every tensor alive.
DRY = 4


class Stopwatch:
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
class Memory:
    """What one look leaves to the next. A look that fails leaves what there was.

    Attributes:
        F: The last factors, one per rank, (rank, N): the next factorisation starts from them. None starts it cold.
        predictions: Moving average of the network's answers, (N, K), see `SteadyLabels`. None begins it.
    """

    F: tuple[Tensor, ...] | None = None
    predictions: Tensor | None = None

    def cpu(self) -> Memory:
        """For a checkpoint."""
        F = None if self.F is None else tuple(f.detach().cpu() for f in self.F)
        return Memory(F, None if self.predictions is None else self.predictions.cpu())


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
    forward: Callable[[Any], Any] | None = None
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    team: Team = field(default_factory=Team)

    def __post_init__(self) -> None:
        self.choices: list[LayerChoice] = []
        self.memory = Memory()
        self.spectra = SpectraCache()

    def __repr__(self) -> str:
        return str(shown("lens_text", type(self.model).__name__, self.options.ranks, self.choices))

    def _repr_html_(self) -> str:
        return str(shown("lens_html", type(self.model).__name__, self.options.ranks, self.choices))

    def choose(self, probe: Any, earlier: Collection[str] = ()) -> list[LayerChoice]:
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
        if pieces := in_pieces(self.model):
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
        with undisturbed(self.model), self.context():
            seen = dry_pass(self.model, self._call, batch[:DRY])
        found = choose_layers(seen, self.options.layers, earlier)
        self.choices = self.team.first(lambda: found)
        return self.choices

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
        if not self.choices:
            self.choose(batch)
        o, watch = self.options, Stopwatch(images.device)
        with undisturbed(self.model), self.context():
            with watch("probe"):
                answer = ask_together(self.team, self._ask, batch, self.choices, CHUNK)
            with watch("consistency"):
                moved, predictions = self._consistency(batch, answer, trained=epoch > 0 or step > 0)
        with watch("factorization"):
            blocks, start = self._blocks(images, answer), self._start(images)
        numbers = sum(block.samples.numel() for block in blocks)
        with worthwhile_threads(numbers), watch("factorization"):
            problem = pose(blocks, o.weighting, self.team, o.solver, warm=start is not None)
            result = problem.whole_factors(fit(problem, o.ranks, solver=o.solver, start=start, seed=o.seed))
        with worthwhile_threads(numbers), watch("metrics"), torch.no_grad(), full_precision():
            scopes = Scopes(problem)
            curves = scopes.curves(result)
            floors = scopes.floors(curves)
            effective, rms = scopes.effective_ranks(), scopes.rms()
            similarity = layer_similarities(result)
        with watch("spectra"):
            spectra = self._spectra()
        self.memory = Memory(result.F, predictions)
        return Observation(
            epoch=epoch,
            step=step,
            curves=curves,
            floors=floors,
            required_ranks=tuple(required_rank(curves["total"], tau) for tau in o.taus),
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

    def forget(self) -> None:
        """The next look is like the first: for a probe of other images."""
        self.memory = Memory()

    def _start(self, images: Tensor) -> tuple[Tensor, ...] | None:
        """The last factors, where they are of these ranks and so many images."""
        wanted, last = [(r, len(images)) for r in self.options.ranks], self.memory.F
        return last if last is not None and [tuple(f.shape) for f in last] == wanted else None

    def _batch(self, probe: Any) -> Batch:
        return Batch.of(probe, getattr(self.forward, "inputs", None))

    def _call(self, batch: Any) -> Any:
        return (self.forward or self.model)(batch)

    def _ask(self, batch: Batch, choices: Iterable[LayerChoice]) -> Answer:
        return ask(self.model, self._call, batch, choices, self.options.max_features, self.options.seed)

    def _consistency(self, batch: Batch, answer: Answer, trained: bool) -> tuple[float | None, Tensor | None]:
        """And the average of the predictions; None where a shift has no meaning, or outputs are no (N, K) numbers."""
        pixels = default_shift(batch.inputs) if self.options.shift is None else self.options.shift
        if not pixels or answer.logits is None or batch.inputs.ndim != 4:
            return None, None
        moved = batch.with_inputs(shifted_in_turn(batch.inputs, pixels))
        outputs = [] if moved is None else outputs_together(self.team, self._ask, [moved], answer.logits)
        if not outputs:
            return None, None
        last = self.memory.predictions if trained else None
        steady = SteadyLabels(average=last if last is not None and last.shape == answer.logits.shape else None)
        labels = steady.update(answer.logits)
        c = label_consistency(labels, outputs) + imbalance(answer.logits)
        return c, steady.average if trained else None

    def _notes(self, batch: Batch, moved: float | None, result: Factorization) -> tuple[str, ...]:
        """What a reader of the numbers must know."""
        notes = [f"factorisation: {result.status}"]
        if moved is None:
            asked = batch.inputs.ndim == 4 and self.options.shift != 0
            notes.append(f"no consistency: {'the outputs are not (N, classes)' if asked else 'no images are shifted'}")
        return tuple(notes)

    def _blocks(self, images: Tensor, answer: Answer) -> list[Block]:
        o = self.options
        inputs = sign_policy("signed_inputs", o.signed_inputs)
        activations = sign_policy("signed_activations", o.signed_activations)
        pixels = input_blocks(images, o.max_features, o.seed)
        blocks = settled_together(self.team, pixels, answer.layers, inputs, activations, CHUNK)
        target = blocks[-1].samples
        device = "cpu" if target.device.type == "mps" else target.device  # that backend has no float64
        return [replace(b, samples=b.samples.to(device, target.dtype)) for b in blocks]

    def _spectra(self) -> tuple[LayerSpectrum, ...]:
        if not self.options.alpha:
            return ()
        layers = weight_layers(self.model)
        who = deal([spectrum_cost(layer) for layer in layers], [0.0] * self.team.size)
        own = [layer for layer, p in zip(layers, who) if p == self.team.place]
        found = self.team.everyone(layer_spectra(self.model, cache=self.spectra, layers=own))
        parts = [iter(spectra) for spectra in found]
        return tuple(next(parts[p]) for p in who)
