"""Spectra as rows: what a data frame, a csv writer or a report takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from lightning_factorlens.results import LayerSpectrum, PowerLawFit

if TYPE_CHECKING:
    import pandas as pd

Cell = float | int | str | tuple[int, ...] | None


def spectra_rows(spectra: Sequence[LayerSpectrum]) -> list[dict[str, Cell]]:
    """One dict a layer: every number of its record and of its fit, under the records' own names.

    Args:
        spectra: As ``layer_spectra`` gives them.

    Returns:
        Rows in the order of ``spectra``; the eigenvalues themselves stay out, and ``fit`` is spread over the row.
        Another program's numbers stand beside ours under its names, with ``weightwatcher.`` before them.
    """
    return [_row(spectrum) for spectrum in spectra]


def spectra_frame(spectra: Sequence[LayerSpectrum]) -> pd.DataFrame:
    """The same rows as a pandas data frame; of weightwatcher's spectra, its table under its own names.

    Args:
        spectra: As ``layer_spectra`` gives them.

    Returns:
        One row a layer. When every number comes from ``backend="weightwatcher"``: its columns as it names them,
        after ``layer`` and, last, ``reason``.

    Raises:
        ImportError: Without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("spectra_frame needs pandas: pip install pandas, or take spectra_rows(spectra)") from error
    if any(s.external for s in spectra):
        return pd.DataFrame([{"layer": s.layer, **s.external, "reason": s.fit.reason} for s in spectra])
    return pd.DataFrame(spectra_rows(spectra))


def _row(spectrum: LayerSpectrum) -> dict[str, Cell]:
    apart = ("eigenvalues", "fit", "foreign")
    row: dict[str, Cell] = {f.name: getattr(spectrum, f.name) for f in fields(LayerSpectrum) if f.name not in apart}
    row |= {f.name: getattr(spectrum.fit, f.name) for f in fields(PowerLawFit)}
    return row | {f"weightwatcher.{name}": value for name, value in spectrum.external.items()}
