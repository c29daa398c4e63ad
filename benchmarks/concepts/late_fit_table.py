"""The table of the benchmark of the late fit."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.concepts.baselines import NEIGHBOURS
from benchmarks.concepts.cases import RANKS
from benchmarks.concepts.spread import Spread
from benchmarks.reporting import markdown_table

#: Figures of one rank, and what the table calls them.
TITLES = {
    "purity_late": "purity of concepts (last two layers)",
    "purity_all": "purity of concepts, fitted to all blocks",
    "purity_untrained": "purity of concepts of the untrained network",
    "purity_kmeans": "purity of cosine k-means, last two layers",
    "purity_pca": "purity of PCA, last two layers",
    "purity_pixels": "purity of NMF of the pixels alone",
    "chance": "purity of random images",
    "error_late": "relative error of all blocks",
    "error_rise": "its rise over the fit to all blocks",
    "error_rise_last": "the same rise, fitted to the last layer alone",
    "spearman_clarity": "Spearman of clarity and purity, in a probe",
    "spearman_agreement": "Spearman of agreement and purity, in a probe",
    "concordance_clarity": "pairs of concepts in the same order by clarity and purity",
    "neighbours_late": f"same class among {NEIGHBOURS} neighbours",
    "neighbours_penultimate": "the same, fitted to the last layer",
}


def section(title: str, spread: Spread, accuracies: Sequence[float]) -> str:
    """The section of one data set, with its title as heading."""
    reached = ", ".join(f"{100 * value:.1f} %" for value in accuracies)
    rows = []
    for name, heading in [*TITLES.items(), *_nmf_titles(spread).items()]:
        rows.append([heading, *(spread.cell(f"{name}_{rank}", 3) for rank in RANKS)])
    for measure in ("clarity", "agreement"):
        cells = [f"{spread.mean(f'pooled_{measure}_{rank}'):.3f}" for rank in RANKS]
        rows.append([f"Spearman of {measure} and purity, all concepts", *cells])
    table = markdown_table(["figure", *(f"rank {rank}" for rank in RANKS)], rows)
    pixels = spread.cell("neighbours_pixels", 3)
    return (
        f"### {title}\n\nTest accuracy {reached}. Same class among {NEIGHBOURS} neighbours by the cosine of the last "
        f"layer's activations {spread.cell('neighbours_raw_features', 3)}, of their means over positions "
        f"{spread.cell('neighbours_pooled_features', 3)}, of the pixels {pixels}.\n\n{table}"
    )


def _nmf_titles(spread: Spread) -> dict[str, str]:
    """Headings for the factorisation of every layer alone."""
    titles = {}
    depth = 0
    while f"purity_nmf{depth}_{RANKS[0]}" in spread.values:
        titles[f"purity_nmf{depth}"] = f"purity of NMF of layer {depth + 1} alone"
        depth += 1
    return titles
