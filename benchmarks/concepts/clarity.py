"""What tells a pure concept without labels: the choice of `clarity`, beside other figures of the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.concepts.baselines import TOP, concordance, spearman
from benchmarks.concepts.cases import DATA_SETS, RANKS, Case, describe, make_cases
from benchmarks.concepts.spread import Spread
from benchmarks.part import Measured
from benchmarks.reporting import Figure
from lightning_factorlens.concepts import agreement, clarity, name_concepts, top_images
from lightning_factorlens.results import Concepts

ROWS = {
    "probabilities": "probability that two images are of one class (`clarity` with class scores)",
    "features": "mean cosine of the last features (`clarity` without)",
    "centred": "mean cosine of the last features less their mean",
    "more": f"mean cosine of the last features of {4 * TOP} images",
    "agreement": "share of the commonest predicted class (`agreement`)",
    "confidence": "mean probability of the likeliest class",
}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the rank correlation of every figure with purity, for both data sets."""
    sections = []
    values = {}
    figures = []
    columns = {f"{kind}_{rank}": f"{kind}, rank {rank}" for rank in RANKS for kind in ("Spearman", "pairs")}
    for name, data_set in DATA_SETS.items():
        spread = Spread()
        for case in make_cases(name, data_dir, quick):
            spread.add(measure_case(case))
        sections.append(f"### {data_set.title}\n\n" + spread.table("figure of the top images", columns, ROWS))
        values[name] = spread.values
        for rank in RANKS:
            gain = spread.mean(f"probabilities_pairs_{rank}") - spread.mean(f"features_pairs_{rank}")
            figures.append(Figure(f"clarity_{name}_pairs_above_features_{rank}", gain, 0))
    text = (
        f"## Clarity\n\n`python -m benchmarks.concepts --parts clarity`. {describe(quick)} Agreement of figures that "
        f"need no labels with the purity of the {TOP} top images: Spearman's correlation within a probe, which cannot "
        "reach 1 where many concepts have the same purity, and the share of the pairs of different purity that are in "
        "the right order. Mean, lowest and highest value.\n\n"
    )
    return Measured(text + "\n\n".join(sections), {"values": values}, figures)


def measure_case(case: Case) -> dict[str, float]:
    """Both measures of agreement for every figure and rank."""
    found = {}
    for rank in RANKS:
        concepts = case.lens().concepts(case.images, rank)
        purity = name_concepts(concepts, case.labels, count=TOP)["labels"].purity
        for name, candidate in candidates(concepts).items():
            found[f"{name}_Spearman_{rank}"] = spearman(candidate, purity)
            found[f"{name}_pairs_{rank}"] = concordance(candidate, purity)
    return found


def candidates(concepts: Concepts) -> dict[str, Tensor]:
    """The figures of all concepts, each shape (rank,)."""
    by_features = replace(concepts, probabilities=None)
    centred = replace(by_features, features=concepts.features - concepts.features.mean(0))
    probabilities = concepts.probabilities
    assert probabilities is not None
    tops = torch.stack([top_images(concepts, k, TOP) for k in range(concepts.rank)])
    return {
        "probabilities": clarity(concepts, TOP),
        "features": clarity(by_features, TOP),
        "centred": clarity(centred, TOP),
        "more": clarity(by_features, 4 * TOP),
        "agreement": agreement(concepts, TOP),
        "confidence": probabilities[tops].mean(1).amax(1),
    }
