"""The spectra of a model's weights and their summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value
from lightning_factorlens.results.spectra import AlphaSummary, LayerExponent, LayerSpectrum

#: The means of an `AlphaSummary`, in the order of the scalars.
SUMMARY_MEANS = ("mean_alpha", "mean_alpha_corrected", "alpha_hat", "mean_alpha_hat", "mean_log_lambda_max")


@dataclass(frozen=True)
class SkippedWeights:
    """Weights that are not analysed.

    Attributes:
        name: Path of the module that they belong to.
        n_weights: How many they are.
        reason: Why, in words.
    """

    name: str
    n_weights: int
    reason: str


@dataclass(frozen=True)
class LayerSpectra(Record, Plottable):
    """One spectrum for each layer with a weight that is trained.

    Attributes:
        layers: The spectra, in the order of ``named_modules()``.
        summary: Means over the layers; None where no layer has a power-law fit, or a weight has NaN or infinite values.
        skipped: The weights that are not analysed, because they are frozen or the forward pass does not use them.
        condensed_layers: In a condensed record, what remains of each layer, by its name; else empty.
    """

    layers: tuple[LayerSpectrum, ...]
    summary: AlphaSummary | None
    skipped: tuple[SkippedWeights, ...] = ()
    condensed_layers: Mapping[str, LayerExponent] = field(default_factory=dict)

    def __getitem__(self, layer: str) -> LayerSpectrum:
        for spectrum in self.layers:
            if spectrum.layer == layer:
                return spectrum
        names = ", ".join(repr(spectrum.layer) for spectrum in self.layers) or "none"
        raise KeyError(f"no spectrum of a layer {layer!r}; there are those of {names}")

    def exponents(self) -> dict[str, LayerExponent]:
        """Power-law exponent by layer, also of a condensed record."""
        found = dict(self.condensed_layers)
        for spectrum in self.layers:
            found[spectrum.layer] = LayerExponent(spectrum.fit.alpha, spectrum.fit.n)
        return found

    def values(self) -> Iterator[Value]:
        """The numbers of the summary, NaN where there is none, then every number of every layer."""
        summary = self.summary
        for name in SUMMARY_MEANS:
            yield Value(name, math.nan if summary is None else float(getattr(summary, name)))
        if summary is not None:
            yield Value("layers_fitted", float(summary.layers))
            yield Value("layers_abstained", float(summary.abstained))
        for spectrum in self.layers:
            yield from _numbers(spectrum, spectrum.layer)
            if spectrum.has_finite_weight:
                yield from _numbers(spectrum.fit, spectrum.layer)
        for layer, exponent in self.condensed_layers.items():
            yield from _numbers(exponent, layer)

    def without_tensors(self) -> LayerSpectra:
        """A copy without the eigenvalues."""
        layers = []
        for spectrum in self.layers:
            layers.append(replace(spectrum, eigenvalues=spectrum.eigenvalues.new_empty(0)))
        return replace(self, layers=tuple(layers))

    def condensed(self) -> LayerSpectra:
        """A copy with the summary, and with α alone of every layer, which the figure over epochs shows."""
        return LayerSpectra((), self.summary, condensed_layers=self.exponents())


def _numbers(record: Any, scope: str) -> Iterator[Value]:
    """The fields of a dataclass that are plain numbers."""
    for each in fields(record):
        value = getattr(record, each.name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield Value(each.name, float(value), scope)
