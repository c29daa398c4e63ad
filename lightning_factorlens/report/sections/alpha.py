"""Section: the power-law exponent α of every weight by depth."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.plots import alpha_figure, spectra_figure
from lightning_factorlens.report.parts import Group, Part, Table
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import LayerSpectra
from lightning_factorlens.results._text import format_number

RECORD = "weight_spectra"


def _build(subjects: Sequence[Subject]) -> list[Part]:
    return for_each(subjects, _parts)


def _parts(subject: Subject) -> list[Part]:
    history = subject.until(RECORD)
    if not history:
        return []
    record: LayerSpectra = history[-1][RECORD]
    parts: list[Part] = []
    figure = alpha_figure(history)
    if figure is not None:
        alt = f"Charts of α with its standard error by layer, at epoch {history[-1].epoch}, and over the epochs."
        parts.append(figure_picture(figure, alt))
    spectra = spectra_figure(history) if _has_eigenvalues(record) else None
    if spectra is not None:
        alt = "Histograms of the eigenvalues of some weights with their power laws."
        parts.append(Group("Spectra", [figure_picture(spectra, alt)], is_folded=True))
    if record.exponents():
        parts.append(Group("α of every layer in numbers", [_table(record)], is_folded=True))
    return parts


def _has_eigenvalues(record: LayerSpectra) -> bool:
    return any(len(spectrum.eigenvalues) for spectrum in record.layers)


def _table(record: LayerSpectra) -> Table:
    """All numbers of the layers; of a record that a checkpoint has condensed α alone."""
    rows = []
    for spectrum in record.layers:
        fit = spectrum.fit
        numbers = [format_number(value) for value in (fit.alpha, fit.sigma)]
        largest = format_number(spectrum.lambda_max)
        rows.append((spectrum.layer or "(the model)", *numbers, str(fit.n), largest, fit.reason or ""))
    if rows:
        header = ("layer", "α", "standard error", "eigenvalues", "largest eigenvalue", "remark")
        return Table("Layers from input to output", header, rows)
    for layer, exponent in record.condensed_layers.items():
        rows.append((layer or "(the model)", format_number(exponent.alpha), str(exponent.n)))
    return Table("Layers from input to output", ("layer", "α", "eigenvalues"), rows)


ALPHA = Section(
    "α by depth",
    "alpha",
    "α is the exponent of a power law fitted to the largest eigenvalues of WᵀW of every weight matrix. In well-trained "
    "large networks it lies between 2 and 6; lower values mean a heavier tail. Layers with few eigenvalues (hollow "
    "marks) have an α that is noise, and α says nothing about when to stop.",
    "α is recorded by the measurement WeightSpectra, which is among the default measurements.",
    _build,
)
