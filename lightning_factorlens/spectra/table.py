"""Spectra as rows of a table, for data frames, CSV writers and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from lightning_factorlens.results import LayerSpectrum, PowerLawFit

if TYPE_CHECKING:
    import pandas as pd

Cell = float | int | str | tuple[int, ...] | None

_OMITTED_FIELDS = ("eigenvalues", "fit", "external")


def spectra_rows(spectra: Sequence[LayerSpectrum]) -> list[dict[str, Cell]]:
    """Converts spectra to one dict per layer, with the numbers of the record and of its fit under their own names.

    Args:
        spectra: Spectra from ``layer_spectra``.

    Returns:
        Rows in the order of ``spectra``. The eigenvalues are left out, and the fields of ``fit`` are columns of the
        row. Results of weightwatcher have the prefix ``weightwatcher.`` before its names.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import layer_spectra
        >>> (row,) = spectra_rows(layer_spectra(torch.nn.Linear(30, 20)))
        >>> row["layer"], row["shape"], row["n"]
        ('Linear', (20, 30), 20)
    """
    return [_row(spectrum) for spectrum in spectra]


def spectra_frame(spectra: Sequence[LayerSpectrum]) -> pd.DataFrame:
    """Converts spectra to a pandas data frame; for spectra of weightwatcher, to its table under its own names.

    Args:
        spectra: Spectra from ``layer_spectra``.

    Returns:
        One row per layer. For ``backend="weightwatcher"``: its columns, after ``layer`` and before ``reason``.

    Raises:
        ImportError: If pandas is not installed.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import layer_spectra
        >>> spectra_frame(layer_spectra(torch.nn.Linear(30, 20)))[["layer", "n", "spikes"]]
            layer   n  spikes
        0  Linear  20       0
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("spectra_frame needs pandas: pip install pandas, or take spectra_rows(spectra)") from error
    external_rows = []
    has_external = False
    for spectrum in spectra:
        has_external = has_external or bool(spectrum.external)
        external_rows.append({"layer": spectrum.layer, **spectrum.external, "reason": spectrum.fit.reason})
    return pd.DataFrame(external_rows if has_external else spectra_rows(spectra))


def _row(spectrum: LayerSpectrum) -> dict[str, Cell]:
    row: dict[str, Cell] = {}
    for field in fields(LayerSpectrum):
        if field.name not in _OMITTED_FIELDS:
            row[field.name] = getattr(spectrum, field.name)
    for field in fields(PowerLawFit):
        row[field.name] = getattr(spectrum.fit, field.name)
    for name, value in spectrum.external.items():
        row[f"weightwatcher.{name}"] = value
    return row
