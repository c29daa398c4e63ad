"""Whether concepts share fewer neurons in deeper layers: neuron similarity by depth, trained and untrained."""

from __future__ import annotations

from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import nn

from benchmarks.concepts.cases import DATA_SETS, Case, describe, make_cases
from benchmarks.concepts.spread import Spread
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens import FactorLens
from lightning_factorlens.concepts.similarity import column_cosine, similarity_spectrum

RANK = 20
#: The blocks to which F is fitted: all of them as in the papers, or the last two layers.
FITS = ("all", "late")
NETWORKS = ("trained", "untrained")


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the off-diagonal mean and the first eigenvalue of every layer, for both data sets."""
    sections = []
    values = {}
    spreads = {}
    for name, data_set in DATA_SETS.items():
        spread = Spread()
        for case in make_cases(name, data_dir, quick):
            spread.add(measure_case(case))
        sections.append(f"### {data_set.title}\n\n{_table(spread)}")
        values[name] = spread.values
        spreads[name] = spread
    cifar = spreads["cifar"]
    figures = [
        Figure("depth_cifar_spearman_trained", cifar.mean("all_trained_spearman"), -0.8, at_most=True),
        Figure("depth_cifar_spearman_untrained", cifar.mean("all_untrained_spearman"), 0.5),
    ]
    text = (
        f"## Similarity by depth\n\n`python -m benchmarks.concepts --parts depth`. {describe(quick)} Rank {RANK}. "
        "Off-diagonal mean of the cosine between the columns of O_j in the first and in the last layer, and its "
        "Spearman correlation with the number of the layer; the same for the first eigenvalue. Mean, lowest and "
        "highest value of all seeds and probes.\n\n"
    )
    return Measured(text + "\n\n".join(sections), {"values": values}, figures)


def measure_case(case: Case) -> dict[str, float]:
    """The figures of both networks, at every fit."""
    found = {}
    for fit in FITS:
        for network, model in zip(NETWORKS, (case.model, case.untrained)):
            for name, value in by_depth(model, case.images, fit).items():
                found[f"{fit}_{network}_{name}"] = value
    return found


def by_depth(model: nn.Module, images: torch.Tensor, fit_on: str) -> dict[str, float]:
    """Similarity in the first and last layer, and its rank correlation with depth."""
    concepts = FactorLens(model, outputs="classes").concepts(images, RANK, fit_on=fit_on)
    off_diagonal = []
    eigenvalue = []
    for block in concepts.layers():
        cosine = column_cosine(block.W)
        off_diagonal.append(float(cosine.sum() - RANK) / (RANK * (RANK - 1)))
        eigenvalue.append(float(similarity_spectrum(cosine)[0]))
    depth = range(len(off_diagonal))
    return {
        "first": off_diagonal[0],
        "last": off_diagonal[-1],
        "spearman": float(spearmanr(depth, off_diagonal)[0]),
        "eigenvalue_first": eigenvalue[0],
        "eigenvalue_last": eigenvalue[-1],
        "eigenvalue_spearman": float(spearmanr(depth, eigenvalue)[0]),
        **{f"layer{j}": value for j, value in enumerate(off_diagonal)},
    }


def _table(spread: Spread) -> str:
    header = ["F fitted to", "network", "first layer", "last layer", "Spearman"]
    header += ["eigenvalue, first layer", "eigenvalue, last layer", "Spearman"]
    columns = ("first", "last", "spearman", "eigenvalue_first", "eigenvalue_last", "eigenvalue_spearman")
    rows = []
    for fit in FITS:
        for network in NETWORKS:
            cells = [spread.cell(f"{fit}_{network}_{column}") for column in columns]
            rows.append([fit, network, *cells])
    return markdown_table(header, rows)
