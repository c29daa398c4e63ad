"""The spectra of a model's weights and their summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from lightning_factorlens.results.record import Record, Value
from lightning_factorlens.results.spectra import AlphaSummary, LayerSpectrum


@dataclass(frozen=True)
class LayerSpectra(Record):
    """One spectrum for each layer with a weight.

    Attributes:
        layers: The spectra, in the order of ``named_modules()``.
        summary: Means over the layers; None where no layer has a power-law fit.
    """

    layers: tuple[LayerSpectrum, ...]
    summary: AlphaSummary | None

    def values(self) -> Iterator[Value]:
        """The numbers of the summary, then every number of every layer."""
        summary = self.summary
        if summary is not None:
            yield Value("mean_alpha", summary.mean_alpha)
            yield Value("mean_alpha_corrected", summary.mean_alpha_corrected)
            yield Value("alpha_hat", summary.alpha_hat)
            yield Value("mean_alpha_hat", summary.mean_alpha_hat)
            yield Value("mean_log_lambda_max", summary.mean_log_lambda_max)
            yield Value("layers_fitted", float(summary.layers))
            yield Value("layers_abstained", float(summary.abstained))
        for spectrum in self.layers:
            for part in (spectrum, spectrum.fit):
                yield from _numbers(part, spectrum.layer)

    def without_tensors(self) -> LayerSpectra:
        """A copy without the eigenvalues."""
        layers = []
        for spectrum in self.layers:
            layers.append(replace(spectrum, eigenvalues=spectrum.eigenvalues.new_empty(0)))
        return LayerSpectra(tuple(layers), self.summary)


def _numbers(record: Any, scope: str) -> Iterator[Value]:
    """The fields of a dataclass that are plain numbers."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, (int, float)):
            yield Value(field.name, float(value), scope)
