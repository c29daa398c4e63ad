"""A probe from another data set than the training's: digits before a network that was trained on photographs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torch.nn.functional import pad

from benchmarks.concepts.baselines import (
    TOP,
    joined,
    kmeans_top,
    pca_top,
    purity_of,
    sample_factors,
    strongest,
    top_purity,
)
from benchmarks.concepts.cases import DATA_SETS, RANKS, Case, captured_layers, describe, make_cases
from benchmarks.concepts.spread import Spread
from benchmarks.part import Measured
from benchmarks.reporting import Figure
from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.concepts import name_concepts
from lightning_factorlens.concepts.late_fit import N_LATE

ROWS = {
    "trained": "concepts of the network",
    "untrained": "concepts of the untrained network",
    "kmeans": "cosine k-means of the same two layers",
    "pca": "PCA of the same two layers",
    "nmf": "NMF of the last layer alone",
    "pixels": "NMF of the pixels alone",
    "chance": "random images",
}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the purity by digit of the concepts that a network trained on CIFAR-10 has of MNIST."""
    spread = Spread()
    for case in digit_cases(data_dir, quick):
        spread.add(measure_case(case))
    figures = []
    for rank in RANKS:
        margin = spread.mean(f"trained_{rank}") - spread.mean(f"untrained_{rank}")
        figures.append(Figure(f"other_probe_purity_above_untrained_{rank}", margin, 0.1))
    columns = {str(rank): f"rank {rank}" for rank in RANKS}
    text = (
        f"## Another data set\n\n`python -m benchmarks.concepts --parts other_probe`. {describe(quick)} MNIST with a "
        "black border as 3 × 32 × 32 images, before the network trained on CIFAR-10. Share of the commonest digit "
        f"among the {TOP} top images: mean, lowest and highest value of all seeds and probes.\n\n"
        + spread.table("purity", columns, ROWS)
    )
    return Measured(text, {"values": spread.values}, figures)


def digit_cases(data_dir: Path, quick: bool) -> Iterator[Case]:
    """The cases of CIFAR-10 with as many probes of MNIST in place of theirs."""
    digits = DATA_SETS["mnist"].load(data_dir)
    start = 0
    for case in make_cases("cifar", data_dir, quick):
        rows = slice(start, start + len(case.images))
        start += len(case.images)
        yield replace(case, images=as_colour(digits.test[rows]), labels=digits.test_labels[rows])


def as_colour(images: Tensor) -> Tensor:
    """Images (n, 1, 28, 28) as (n, 3, 32, 32), with a black border."""
    return pad(images, (2, 2, 2, 2)).expand(-1, 3, -1, -1).contiguous()


def measure_case(case: Case) -> dict[str, float]:
    """The purity of all groupings of one probe."""
    found = {}
    layers = captured_layers(case.model, case.images)
    late = joined(layers[-N_LATE:])
    for rank in RANKS:
        concepts = case.lens().concepts(case.images, rank)
        found[f"trained_{rank}"] = purity_of(concepts, case.labels)
        found[f"chance_{rank}"] = name_concepts(concepts, case.labels, count=TOP)["labels"].chance
        found[f"kmeans_{rank}"] = top_purity(kmeans_top(late, rank, case.seed), case.labels)
        found[f"pca_{rank}"] = top_purity(pca_top(late, rank, case.seed), case.labels)
    untrained = captured_layers(case.untrained, case.images)[-N_LATE:]
    for name, blocks in (("untrained", untrained), ("nmf", layers[-1:]), ("pixels", input_blocks(case.images))):
        for rank, F in zip(RANKS, sample_factors(blocks, RANKS)):
            found[f"{name}_{rank}"] = top_purity(strongest(F), case.labels)
    return found
