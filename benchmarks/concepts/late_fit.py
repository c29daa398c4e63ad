"""Which layers decide what a concept is: purity of the top images beside chance, k-means, PCA and no training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.concepts.baselines import (
    NEIGHBOURS,
    TOP,
    concordance,
    joined,
    kmeans_top,
    nearest,
    pca_top,
    purity_of,
    same_class,
    sample_factors,
    spearman,
    strongest,
    top_purity,
)
from benchmarks.concepts.cases import DATA_SETS, RANKS, Case, captured_layers, describe, make_cases
from benchmarks.concepts.late_fit_table import section
from benchmarks.concepts.spread import Spread
from benchmarks.part import Measured
from benchmarks.reporting import Figure
from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.concepts import name_concepts, neighbours
from lightning_factorlens.concepts.late_fit import N_LATE
from lightning_factorlens.results import Block


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures on both data sets with one training seed and probe, or three of each."""
    spreads: dict[str, Spread] = {}
    sections = []
    figures = []
    accuracies: dict[str, list[float]] = {}
    for name, data_set in DATA_SETS.items():
        spread = Spread()
        pooled = PooledRanks()
        reached = {}
        for case in make_cases(name, data_dir, quick):
            spread.add(measure_case(case, pooled))
            reached[case.seed] = case.accuracy
        spread.add(pooled.correlations())
        accuracies[name] = list(reached.values())
        sections.append(section(data_set.title, spread, accuracies[name]))
        figures += _figures(name, spread, accuracies[name])
        spreads[name] = spread
    text = (
        f"## Late fit\n\n`python -m benchmarks.concepts --parts late_fit`. {describe(quick)} Purity is the share of "
        f"the commonest true class among the {TOP} top images. Each cell has the mean, the lowest and the highest "
        "value of all seeds and probes.\n\n" + "\n\n".join(sections)
    )
    values = {name: spread.values for name, spread in spreads.items()}
    return Measured(text, {"accuracy": accuracies, "values": values}, figures)


class PooledRanks:
    """Clarity, agreement and purity of the concepts of all cases, of which the rank correlation is taken at once."""

    def __init__(self) -> None:
        self.found: dict[int, list[Tensor]] = {rank: [] for rank in RANKS}

    def add(self, rank: int, clarity: Tensor, agreement: Tensor, purity: Tensor) -> None:
        """Adds the concepts of one case, each shape (rank,)."""
        self.found[rank].append(torch.stack([clarity, agreement, purity]))

    def correlations(self) -> dict[str, float]:
        """Spearman's correlation with purity over all concepts of a rank."""
        values = {}
        for rank, found in self.found.items():
            clarity, agreement, purity = torch.cat(found, 1)
            values[f"pooled_clarity_{rank}"] = spearman(clarity, purity)
            values[f"pooled_agreement_{rank}"] = spearman(agreement, purity)
        return values


def measure_case(case: Case, pooled: PooledRanks) -> dict[str, float]:
    """All figures of one network and probe."""
    layers = captured_layers(case.model, case.images)
    found = baselines(case, layers)
    for rank in RANKS:
        concepts = case.lens().concepts(case.images, rank)
        everything = case.lens().concepts(case.images, rank, fit_on="all")
        last = case.lens().concepts(case.images, rank, fit_on=layers[-1].name)
        names = name_concepts(concepts, case.labels, count=TOP)
        purity = names["labels"].purity
        pooled.add(rank, names.clarity, names.agreement, purity)
        values = {
            "purity_late": float(purity.nanmean()),
            "purity_all": purity_of(everything, case.labels),
            "chance": names["labels"].chance,
            "error_late": concepts.rel_error,
            "error_rise": concepts.rel_error / everything.rel_error - 1,
            "error_rise_last": last.rel_error / everything.rel_error - 1,
            "spearman_clarity": spearman(names.clarity, purity),
            "spearman_agreement": spearman(names.agreement, purity),
            "concordance_clarity": concordance(names.clarity, purity),
            "scores_off_one": float((names["labels"].scores.nansum(1) - 1).abs().max()),
            "neighbours_late": same_class(neighbours(concepts, count=NEIGHBOURS).indices, case.labels),
            "neighbours_penultimate": same_class(neighbours(last, count=NEIGHBOURS).indices, case.labels),
        }
        found.update({f"{name}_{rank}": value for name, value in values.items()})
    found["neighbours_pooled_features"] = same_class(nearest(concepts.features), case.labels)
    return found


def baselines(case: Case, layers: Sequence[Block]) -> dict[str, float]:
    """Other groupings of the same images: the untrained network, clusters, components, single layers, pixels."""
    found = {}
    blocks = {"untrained": captured_layers(case.untrained, case.images)[-N_LATE:], "pixels": input_blocks(case.images)}
    for depth, layer in enumerate(layers):
        blocks[f"nmf{depth}"] = [layer]
    for name, chosen in blocks.items():
        for rank, F in zip(RANKS, sample_factors(chosen, RANKS)):
            found[f"purity_{name}_{rank}"] = top_purity(strongest(F), case.labels)
    late = joined(layers[-N_LATE:])
    for rank in RANKS:
        found[f"purity_kmeans_{rank}"] = top_purity(kmeans_top(late, rank, case.seed), case.labels)
        found[f"purity_pca_{rank}"] = top_purity(pca_top(late, rank, case.seed), case.labels)
    found["neighbours_raw_features"] = same_class(nearest(layers[-1].samples.double()), case.labels)
    found["neighbours_pixels"] = same_class(nearest(case.images.flatten(1).double()), case.labels)
    return found


def _figures(data: str, spread: Spread, accuracies: Sequence[float]) -> list[Figure]:
    def difference(a: str, b: str) -> float:
        return spread.mean(a) - spread.mean(b)

    late = "purity_late_10"
    name = f"late_fit_{data}"
    figures = [
        Figure(f"{name}_accuracy", min(accuracies), 0.7),
        Figure(f"{name}_purity_10", spread.mean(late), 0.80),
        Figure(f"{name}_purity_20", spread.mean("purity_late_20"), 0.68),
        Figure(f"{name}_purity_above_untrained_10", difference(late, "purity_untrained_10"), 0.4),
        Figure(f"{name}_purity_above_kmeans_10", difference(late, "purity_kmeans_10"), 0.05),
        Figure(f"{name}_purity_above_pca_10", difference(late, "purity_pca_10"), 0.2),
    ]
    for rank in RANKS:
        off_one = spread.highest(f"scores_off_one_{rank}")
        figures += [
            Figure(f"{name}_error_rise_{rank}", spread.mean(f"error_rise_{rank}"), 0.05, at_most=True),
            Figure(f"{name}_neighbours_same_class_{rank}", spread.mean(f"neighbours_late_{rank}"), 0.48),
            Figure(f"{name}_spearman_clarity_{rank}", spread.mean(f"spearman_clarity_{rank}"), 0.8),
            Figure(f"{name}_spearman_clarity_of_all_{rank}", spread.mean(f"pooled_clarity_{rank}"), 0.8),
            Figure(f"{name}_somers_d_clarity_{rank}", 2 * spread.mean(f"concordance_clarity_{rank}") - 1, 0.8),
            Figure(f"{name}_scores_off_one_{rank}", off_one, 1e-9, at_most=True),
        ]
    for rank in RANKS:
        penultimate = f"neighbours_penultimate_{rank}"
        for features in ("raw", "pooled"):
            margin = difference(penultimate, f"neighbours_{features}_features")
            figures.append(Figure(f"{name}_neighbours_penultimate_above_{features}_{rank}", margin, -0.01))
    return figures
