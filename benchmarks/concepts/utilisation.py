"""How near the class-mean response from the factors, O_j F 1_c / n_c, is to the measured one, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.concepts.cases import DATA_SETS, Case, captured_layers, describe, make_cases
from benchmarks.concepts.spread import Spread
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.concepts import utilisation
from lightning_factorlens.results import Block

RANK = 20
#: The blocks to which F is fitted.
FITS = ("late", "all")


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the relative distance of the class means in every layer, for both data sets."""
    sections = []
    figures = []
    values = {}
    for name, data_set in DATA_SETS.items():
        spread = Spread()
        layers: list[str] = []
        for case in make_cases(name, data_dir, quick):
            layers = [layer.name for layer in captured_layers(case.model, case.images)]
            spread.add(measure_case(case))
        sections.append(f"### {data_set.title}\n\n{_table(spread, layers)}")
        for fit in FITS:
            largest = max(spread.highest(f"{fit}_{depth}_largest") for depth in range(len(layers)))
            mean = max(spread.mean(f"{fit}_{depth}_mean") for depth in range(len(layers)))
            figures.append(Figure(f"utilisation_{name}_{fit}_largest_distance", largest, 0.25, at_most=True))
            figures.append(Figure(f"utilisation_{name}_{fit}_mean_of_worst_layer", mean, 0.25, at_most=True))
        values[name] = spread.values
    text = (
        f"## Utilisation\n\n`python -m benchmarks.concepts --parts utilisation`. {describe(quick)} Rank {RANK}. "
        "‖O_j F 1_c / n_c − mean A_c‖ / ‖mean A_c‖ with the true classes c: the mean over classes, its lowest and "
        "highest value over seeds and probes, and behind it the largest value of any class, seed and probe.\n\n"
    )
    return Measured(text + "\n\n".join(sections), {"values": values}, figures)


def measure_case(case: Case) -> dict[str, float]:
    """The distances in every layer: their mean over classes, and the largest."""
    found = {}
    layers = captured_layers(case.model, case.images)
    for fit in FITS:
        for depth, distances in enumerate(response_distances(case, layers, fit)):
            found[f"{fit}_{depth}_mean"] = float(distances.mean())
            found[f"{fit}_{depth}_largest"] = float(distances.max())
    return found


def response_distances(case: Case, layers: Sequence[Block], fit_on: str) -> list[torch.Tensor]:
    """For each layer, the relative distance of the response of each class, shape (classes,)."""
    use = utilisation(case.lens().concepts(case.images, RANK, fit_on=fit_on), case.labels)
    distances = []
    for layer in layers:
        A = layer.samples.double()
        means = torch.stack([A[case.labels == c].mean(0) for c in use.classes], dim=1)
        distances.append((use[layer.name].neurons - means).norm(dim=0) / means.norm(dim=0))
    return distances


def _table(spread: Spread, layers: list[str]) -> str:
    header = ["layer", *(f"F fitted to {fit}" for fit in FITS)]
    rows = []
    for depth, layer in enumerate(layers):
        cells = []
        for fit in FITS:
            name = f"{fit}_{depth}"
            cells.append(f"{spread.cell(f'{name}_mean')}, {spread.highest(f'{name}_largest'):.2f}")
        rows.append([f"{depth + 1}, `{layer}`", *cells])
    return markdown_table(header, rows)
