"""FactorLens: one observation of one model. Arranges the rooms, holds what lasts between looks; no lightning here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.factorization import CoupledProblem, fit, full_precision
from lightning_factorlens.metrics.consistency import consistency, default_shift, shifted
from lightning_factorlens.metrics.rank_curve import Scopes
from lightning_factorlens.metrics.required_rank import required_rank
from lightning_factorlens.metrics.spectra import SpectraCache, alpha_summary, layer_spectra
from lightning_factorlens.options import LensOptions
from lightning_factorlens.probing.guest import undisturbed
from lightning_factorlens.probing.probe import Answer, ask, input_blocks, settled
from lightning_factorlens.probing.selection import choose_layers, dry_pass
from lightning_factorlens.probing.signs import sign_policy
from lightning_factorlens.types import Block, LayerChoice, LayerSpectrum, Observation

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


@dataclass
class FactorLens:
    """Looks at a model through unlabeled images.

    Example:
        >>> lens = FactorLens(model, LensOptions(ranks=(1, 4, 16)))  # doctest: +SKIP
        >>> lens.observe(images).curves["total"].rel_error  # doctest: +SKIP

    Attributes:
        model: The model; it is left exactly as found.
        options: What to measure.
        forward: How to call the model on a batch of images; the model itself unless given.
        context: Makes the context of every forward pass (a trainer's autocast).
    """

    model: nn.Module
    options: LensOptions = field(default_factory=LensOptions)
    forward: Callable[[Tensor], Any] | None = None
    context: Callable[[], AbstractContextManager[Any]] = nullcontext

    def __post_init__(self) -> None:
        self.choices: list[LayerChoice] = []
        self.warm: tuple[Tensor, ...] | None = None
        self.spectra = SpectraCache()

    def choose(self, images: Tensor) -> list[LayerChoice]:
        """Finds the layers by one dry pass; `observe` does it when nobody has.

        Args:
            images: The probe, shape (N, …).

        Returns:
            The table of what is kept, what is skipped, and why.

        Raises:
            ValueError: Patterns that match nothing, fewer images than the largest rank, or a model without values.
        """
        hollow = [n for n, p in self.model.named_parameters() if p.is_meta or nn.parameter.is_lazy(p)]
        if hollow:
            raise ValueError(
                f"model: {len(hollow)} parameters have no values yet (meta device or lazy), first {hollow[0]!r}; "
                "run one batch through the model, or materialise it, before the lens looks."
            )
        largest = max(self.options.ranks)
        if len(images) < largest:
            raise ValueError(
                f"ranks: rank {largest} needs a probe of at least {largest} images, found {len(images)}; "
                "raise `probe_size` or lower the ranks."
            )
        with undisturbed(self.model), self.context():
            seen = dry_pass(self.model, self._call, images[:DRY])
        self.choices = choose_layers(seen, self.options.layers)
        return self.choices

    def observe(self, images: Tensor, epoch: int = 0, step: int = 0) -> Observation:
        """One look.

        Args:
            images: The probe, shape (N, C, H, W), on the model's device.
            epoch: For the record.
            step: For the record.

        Returns:
            Everything that was measured.

        Raises:
            ValueError: As `choose`; or values that are NaN or infinite, with the layer's name.
        """
        if not self.choices:
            self.choose(images)
        o, watch = self.options, Stopwatch(images.device)
        with watch("probe"), undisturbed(self.model), self.context():
            answer = ask(self.model, self._call, images, self.choices, o.max_features, o.seed)
            moved = self._consistency(images, answer)
        with watch("factorization"):
            problem = CoupledProblem(self._blocks(images, answer), o.weighting)
            result = fit(problem, o.ranks, solver=o.solver, start=self._start(images), seed=o.seed)
            self.warm = result.F
        with watch("metrics"), torch.no_grad(), full_precision():
            scopes = Scopes(problem)
            curves = scopes.curves(result)
            floors = scopes.floors(curves)
            effective, rms = scopes.effective_ranks(), scopes.rms()
        with watch("spectra"):
            spectra = self._spectra()
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
            images=images,
            factorization=result,
        )

    def forget(self) -> None:
        """Starts the next factorisation cold: for a probe of other images."""
        self.warm = None

    def _start(self, images: Tensor) -> tuple[Tensor, ...] | None:
        """The last factors, where they are of these ranks and so many images."""
        wanted = [(r, len(images)) for r in self.options.ranks]
        return self.warm if self.warm is not None and [tuple(f.shape) for f in self.warm] == wanted else None

    def _call(self, batch: Tensor) -> Any:
        return (self.forward or self.model)(batch)

    def _consistency(self, images: Tensor, answer: Answer) -> float | None:
        pixels = default_shift(images) if self.options.shift is None else self.options.shift
        if not pixels or answer.logits is None:
            return None
        batches = [ask(self.model, self._call, moved, ()).logits for moved in shifted(images, pixels)]
        return consistency(answer.logits, [b for b in batches if b is not None])

    def _blocks(self, images: Tensor, answer: Answer) -> list[Block]:
        o = self.options
        raw = [*input_blocks(images, o.max_features, o.seed), *answer.layers]
        inputs = sign_policy("signed_inputs", o.signed_inputs)
        activations = sign_policy("signed_activations", o.signed_activations)
        blocks = settled(raw, inputs, activations)
        target = blocks[-1].samples
        device = "cpu" if target.device.type == "mps" else target.device  # that backend has no float64
        return [replace(b, samples=b.samples.to(device, target.dtype)) for b in blocks]

    def _spectra(self) -> tuple[LayerSpectrum, ...]:
        return layer_spectra(self.model, cache=self.spectra) if self.options.alpha else ()
