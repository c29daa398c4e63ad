"""The section of the README with the results of `python -m benchmarks.spectra`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.reporting import markdown_table

Rows = Mapping[str, Mapping[str, float]]


def section(about: dict[str, Any], rows: Rows, pareto: Mapping[float, Mapping[str, float]], published: Rows) -> str:
    """The whole section."""
    versions = about["versions"]
    parts = [
        "## Spectra",
        "`python -m benchmarks.spectra --data-dir DATA [--published DIR]`: "
        f"{about['processor']}, one thread, {about['date']}, weightwatcher {versions['weightwatcher']}, powerlaw "
        f"{versions['powerlaw']}. Seconds are wall time; weightwatcher runs `analyze()` at its defaults, in the row "
        '"all extras" with `randomize=True, mp_fit=True` against our bulk edges, spikes and traps. Weights are random '
        "unless trained.",
        _models(rows),
        "Fraction of Pareto samples of 500 whose α is found within 2σ, 1,000 draws for each α:",
        _pareto(pareto),
    ]
    if published:
        parts += [
            "Published data (Clauset, Shalizi and Newman 2009, Table 6.1). Quakes and surnames are rounded to few "
            "distinct values; x_min then depends on how ties are counted, and is given as published.",
            _published(published),
        ]
    return "\n\n".join(parts)


def _models(rows: Rows) -> str:
    header = ["model", "layers", "W1, s", "slices, s", "weightwatcher, s", "fits alone, s", "its fits, s"]
    header += ["W1 ×", "slices ×", "fits ×", "largest difference of α"]
    seconds = ("w1", "slices", "weightwatcher", "fit", "weightwatcher_fit")
    ratios = (("weightwatcher", "w1"), ("weightwatcher", "slices"), ("weightwatcher_fit", "fit"))
    differences = ("alpha_analyze", "alpha_fitter", "alpha_powerlaw")
    lines = []
    for name, row in rows.items():
        cells = [name, str(row["layers"])]
        cells += [f"{row[key]:.3g}" if key in row else "" for key in seconds]
        cells += [f"{row[a] / row[b]:.1f}" if a in row and b in row else "" for a, b in ratios]
        cells.append(f"{max(row[key] for key in differences):.0e}" if "fit" in row else "")
        lines.append(cells)
    return markdown_table(header, lines)


def _pareto(pareto: Mapping[float, Mapping[str, float]]) -> str:
    header = ["α", "x_min given", "x_min fitted, σ = (α − 1)/√n", "x_min fitted, σ by bootstrap"]
    keys = ("given", "formula", "bootstrap")
    return markdown_table(header, ([f"{alpha:g}", *(f"{row[k]:.3f}" for k in keys)] for alpha, row in pareto.items()))


def _published(published: Rows) -> str:
    header = ["data", "α published", "α", "σ", "x_min published", "x_min", "tail published", "tail"]
    lines = []
    for name, row in published.items():
        cells = [name, f"{row['published']:g}", f"{row['alpha']:.3f}", f"{row['sigma']:.3f}"]
        cells += [f"{row[key]:.6g}" for key in ("published_x_min", "x_min", "published_tail", "n_tail")]
        lines.append(cells)
    return markdown_table(header, lines)
