"""Power laws of the eigenvalues of every weight matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from lightning_factorlens.capture.dealt_weights import deal_weights
from lightning_factorlens.capture.trained_weights import NOTHING_TRAINABLE
from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.distributed import map_distributed
from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.deferred import Deferred
from lightning_factorlens.measurements.missing_outputs import absence_note
from lightning_factorlens.measurements.scalar import Detail, Scalar
from lightning_factorlens.plots.alpha import alpha_figure
from lightning_factorlens.plots.spectra import spectra_figure
from lightning_factorlens.results import AlphaSummary, LayerSpectra, LayerSpectrum
from lightning_factorlens.spectra.cache import SpectraCache
from lightning_factorlens.spectra.layer_spectra import Precision, alpha_summary, layer_spectra, spectrum_cost

#: Quantity, help and unit of the scalars of every layer that are logged at the level "all".
PER_LAYER = (
    ("alpha_low", "Lower end of the 95 % interval of α.", ""),
    ("alpha_high", "Upper end of the 95 % interval of α.", ""),
    ("sigma", "Standard error of α, (α − 1) / √n_tail.", ""),
    ("ks_distance", "Kolmogorov–Smirnov distance between the tail and its fit.", ""),
    ("n_tail", "Eigenvalues in the tail that is fitted.", "eigenvalues"),
    ("lambda_max", "Largest eigenvalue of the unfolded weight's Gram matrix.", ""),
    ("alpha_weighted", "α · log10 of the largest eigenvalue.", ""),
    ("stable_rank", "Sum of the eigenvalues over the largest.", ""),
    ("entropy_rank", "exp of the entropy of the normalised singular values of the weight.", ""),
    ("mp_edge", "Upper edge of the Marchenko–Pastur bulk.", ""),
    ("spikes", "Eigenvalues above that edge.", "eigenvalues"),
)
#: Cost, see `spectrum_cost`, above which the spectra of weights on an accelerator are computed there. One thread of a
#: processor takes about half a minute for it.
LARGEST_COST_ON_HOST = 1e12
#: The scalars of the whole network.
OF_THE_NETWORK = (
    Scalar(
        "mean_alpha",
        "{prefix}_spectra/mean_alpha",
        "Mean over layers of α, the exponent of the power law fitted to the eigenvalues of a layer's weight.",
        reading="It falls while layers learn, then levels off. It wanders and jumps on the way: read its direction "
        "over many epochs, not its value.",
        chart="mean α of the layers",
        monitored=True,
        summary=True,
    ),
    Scalar(
        "mean_alpha_corrected",
        "{prefix}_spectra/mean_alpha_corrected",
        "Mean over layers of α without its bias.",
    ),
    Scalar(
        "alpha_hat",
        "{prefix}_spectra/alpha_hat",
        "Sum over layers of α times log10 of the largest eigenvalue.",
        reading="It mostly grows with the epochs, because weights grow while they are trained.",
        monitored=True,
        detail="all",
    ),
    Scalar(
        "mean_alpha_hat",
        "{prefix}_spectra/mean_alpha_hat",
        "Mean over layers of α times log10 of the largest eigenvalue.",
        reading="It is read like alpha_hat.",
        monitored=True,
        detail="all",
    ),
    Scalar(
        "mean_log_lambda_max",
        "{prefix}_spectra/mean_log_lambda_max",
        "Mean over layers of log10 of the largest eigenvalue.",
        detail="all",
    ),
    Scalar(
        "layers_fitted",
        "{prefix}_spectra/layers_fitted",
        "Layers whose α enters the means.",
        unit="layers",
        detail="layers",
    ),
    Scalar(
        "layers_abstained",
        "{prefix}_spectra/layers_abstained",
        "Layers without an α.",
        unit="layers",
        detail="layers",
    ),
)


def _layer_scalars() -> tuple[Scalar, ...]:
    """The scalars of every layer."""
    declared = [
        Scalar(
            "alpha",
            "{prefix}_spectra/{scope}/alpha",
            "Exponent of the power law fitted to the eigenvalues of a layer's unfolded weight.",
            reading="Below about 20 eigenvalues it is noise, and up to about 100 it is biased upwards: read "
            "`alpha_corrected` beside it.",
            chart="α of the first, middle and last layer",
            detail="layers",
        ),
        Scalar(
            "alpha_corrected",
            "{prefix}_spectra/{scope}/alpha_corrected",
            "α without its bias, which is upwards and large on few eigenvalues.",
            detail="layers",
        ),
    ]
    for quantity, text, unit in PER_LAYER:
        declared.append(Scalar(quantity, f"{{prefix}}_spectra/{{scope}}/{quantity}", text, unit=unit, detail="all"))
    return tuple(declared)


@dataclass(frozen=True)
class WeightSpectra(Measurement):
    """The spectrum of every convolution and linear layer that is trained and used, and its power law.

    Frozen weights and those that the forward pass does not use are listed as skipped, see `trained_weights`; with an
    adapter such as LoRA, the effective weight is analysed. Spectra of weights that have not changed are kept.

    Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights", section 3;
    Clauset, Shalizi and Newman (2009), "Power-law distributions in empirical data"; see `lightning_factorlens.spectra`.

    Attributes:
        precision: ``"mixed"`` or ``"float64"``, see `layer_spectra`.
    """

    precision: Precision = "mixed"

    name: ClassVar[str] = "weight_spectra"
    needs: ClassVar[frozenset[str]] = frozenset({"weights"})
    scalars: ClassVar[tuple[Scalar, ...]] = (*OF_THE_NETWORK, *_layer_scalars())
    histogram_detail: ClassVar[Detail] = "layers"
    figures: ClassVar[tuple[FigureSpec, ...]] = (
        FigureSpec(
            "alpha", alpha_figure, "α over depth and over epochs: which layers have settled, and which still move."
        ),
        FigureSpec(
            "spectra", spectra_figure, "The eigenvalues of a layer's weight, and the power law fitted to their tail."
        ),
    )

    def measure(self, context: Context) -> LayerSpectra | Deferred:
        """Computes the spectra, each process those of some layers; spectra of unchanged weights are cached.

        With a worker they are computed there, from copies of the weights in main memory, so that the training's
        accelerator has no other work meanwhile.
        """
        cache = context.cache.setdefault(self.name, SpectraCache())
        model = context.model
        used = context.process_group.broadcast_object(lambda: context.used)
        dealt = deal_weights(model, used, spectrum_cost, context.process_group)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            context.note(f"weight spectra: {NOTHING_TRAINABLE}")
        for group in dealt.skipped:
            context.note(f"weight spectra: skipped {group.name} ({group.n_weights} weights), {group.reason}")

        own = [layer for layer, owner in zip(dealt.layers, dealt.owners) if owner == context.process_group.rank]

        def finish(own_spectra: Sequence[LayerSpectrum]) -> LayerSpectra:
            spectra = tuple(map_distributed(context.process_group, lambda _: own_spectra, dealt.layers, dealt.owners))
            return LayerSpectra(spectra, self._summary(context, spectra), tuple(dealt.skipped))

        if context.worker is None or _belongs_on_its_device(own):
            return finish(layer_spectra(model, cache=cache, layers=own, precision=self.precision))
        with torch.no_grad():
            copies = [layer.copy("cpu") for layer in own]
        spectra_of_copies = partial(layer_spectra, model, cache=cache, layers=copies, precision=self.precision)
        return context.deferred(spectra_of_copies, finish)

    def _summary(self, context: Context, spectra: tuple[LayerSpectrum, ...]) -> AlphaSummary | None:
        """Means over the layers; none where a weight is not finite, since means over fewer layers are other numbers."""
        is_complete = True
        for spectrum in spectra:
            if not spectrum.has_finite_weight:
                context.note(absence_note(self.name, f"{spectrum.fit.reason} ({spectrum.layer})."))
                is_complete = False
        return alpha_summary(spectra) if is_complete else None

    def histograms(self, record: LayerSpectra) -> Iterator[tuple[str, str, Tensor]]:
        """log10 of the positive eigenvalues of every layer."""
        for spectrum in record.layers:
            eigenvalues = spectrum.eigenvalues.detach().double().cpu()
            positive = eigenvalues[torch.isfinite(eigenvalues) & (eigenvalues > 0)]
            if len(positive):
                yield "{prefix}_spectra/{scope}/log10_eigenvalues", spectrum.layer, positive.log10()


def _belongs_on_its_device(layers: Sequence[WeightLayer]) -> bool:
    """Whether the weights are on an accelerator, and so large that one thread of the processor would take minutes."""
    is_accelerated = any(layer.weight.device.type != "cpu" for layer in layers)
    return is_accelerated and sum(map(spectrum_cost, layers)) > LARGEST_COST_ON_HOST
