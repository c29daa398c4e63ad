"""Which layers decide what a concept is: purity of the top images beside chance, k-means, PCA and no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.concepts.cifar import EPOCHS, Images, accuracy, load_cifar, make_network, train_network
from benchmarks.concepts.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens import FactorLens
from lightning_factorlens.capture import capture_activations, isolate_model, select_layers, trace_layers
from lightning_factorlens.concepts import name_concepts, neighbours
from lightning_factorlens.concepts.clarity import commonest_share
from lightning_factorlens.results import Block, Concepts

SAMPLES = 1000
RANKS = (10, 20)
TOP = 16
NEIGHBOURS = 30
#: Finds the top images of clusters or components, shape (components, TOP), given features, their number and a seed.
Grouping = Callable[[Tensor, int, int], Tensor]


@dataclass(frozen=True)
class Probe:
    """One network and some test images with their labels, which are used for nothing but figures."""

    model: nn.Module
    untrained: nn.Module
    images: Tensor
    labels: Tensor
    seed: int


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures on CIFAR-10 with one training seed and probe, or three."""
    images = load_cifar(data_dir)
    seeds = range(1 if quick else 3)
    rows: dict[str, list[float]] = {}
    accuracies = []
    for seed in seeds:
        model = train_network(seed, images)
        accuracies.append(accuracy(model, images))
        for probe in _probes(model, seed, images, len(seeds)):
            for name, value in measure_probe(probe).items():
                rows.setdefault(name, []).append(value)
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    table = []
    for name, values in rows.items():
        table.append([name.replace("_", " "), f"{means[name]:.3f}", f"{min(values):.3f}", f"{max(values):.3f}"])
    reached = ", ".join(f"{100 * value:.1f} %" for value in accuracies)
    text = (
        "## Late fit\n\n`python -m benchmarks.concepts --parts late_fit`. A residual network on CIFAR-10 after "
        f"{EPOCHS} epochs of 20,000 images (test accuracy {reached}). Training seeds: {len(seeds)}, each with "
        f"{len(seeds)} probes of {SAMPLES} test images. Purity is the share of the commonest true class among the "
        f"{TOP} top images.\n\n" + markdown_table(["figure", "mean", "lowest", "highest"], table)
    )
    return Measured(text, {"accuracy": accuracies, "figures": rows}, _figures(means, accuracies))


def _probes(model: nn.Module, seed: int, images: Images, count: int) -> list[Probe]:
    probes = []
    for part in range(count):
        rows = slice(part * SAMPLES, (part + 1) * SAMPLES)
        probes.append(Probe(model, make_network(seed).eval(), images.test[rows], images.test_labels[rows], seed))
    return probes


def measure_probe(probe: Probe) -> dict[str, float]:
    """All figures of one network and probe."""
    found: dict[str, float] = {}
    lens = FactorLens(probe.model, outputs="classes")
    untrained = FactorLens(probe.untrained, outputs="classes")
    layers = captured_layers(probe.model, probe.images)
    late = joined(layers[-2:])
    for rank in RANKS:
        concepts = lens.concepts(probe.images, rank)
        everything = lens.concepts(probe.images, rank, fit_on="all")
        names = name_concepts(concepts, probe.labels, count=TOP)
        found[f"chance_{rank}"] = names["labels"].chance
        found[f"purity_late_{rank}"] = float(names["labels"].purity.nanmean())
        found[f"purity_all_{rank}"] = purity_of(everything, probe.labels)
        found[f"purity_untrained_{rank}"] = purity_of(untrained.concepts(probe.images, rank), probe.labels)
        for name, grouping in (("kmeans", kmeans_top), ("pca", pca_top)):
            top = grouping(late, rank, probe.seed)
            found[f"purity_{name}_{rank}"] = float(commonest_share(probe.labels[top]).mean())
        found[f"error_late_{rank}"] = concepts.rel_error
        found[f"error_all_{rank}"] = everything.rel_error
        found[f"error_rise_{rank}"] = concepts.rel_error / everything.rel_error - 1
        found[f"spearman_clarity_{rank}"] = spearman(names.clarity, names["labels"].purity)
        found[f"spearman_agreement_{rank}"] = spearman(names.agreement, names["labels"].purity)
        found[f"scores_off_one_{rank}"] = float((names["labels"].scores.nansum(1) - 1).abs().max())
        found[f"neighbours_late_{rank}"] = same_class(neighbours(concepts, count=NEIGHBOURS).indices, probe.labels)
    penultimate = lens.concepts(probe.images, RANKS[-1], fit_on=layers[-1].name)
    found["neighbours_penultimate"] = same_class(neighbours(penultimate, count=NEIGHBOURS).indices, probe.labels)
    raw = nearest(penultimate.features)
    found["neighbours_raw_features"] = same_class(raw, probe.labels)
    return found


def captured_layers(model: nn.Module, images: Tensor) -> list[Block]:
    """The activations that the lens factorises."""
    with isolate_model(model), torch.no_grad():
        table = select_layers(trace_layers(model, model, images[:4]))
        return capture_activations(model, model, images, table, max_neurons_per_layer=4096).layers


def joined(layers: Sequence[Block]) -> Tensor:
    """The layers side by side, each with the same energy, shape (N, features)."""
    return torch.cat([layer.samples.double() / layer.samples.double().norm() for layer in layers], 1)


def purity_of(concepts: Concepts, labels: Tensor) -> float:
    """Mean purity of the top images."""
    return float(name_concepts(concepts, labels, count=TOP)["labels"].purity.nanmean())


def kmeans_top(X: Tensor, rank: int, seed: int) -> Tensor:
    """The images nearest to each centre of cosine k-means."""
    rows = normalize(X, dim=1)
    centres = KMeans(rank, n_init=3, random_state=seed).fit(rows.numpy()).cluster_centers_
    cosine = normalize(torch.from_numpy(centres), dim=1) @ rows.T
    return cosine.argsort(dim=1, descending=True, stable=True)[:, :TOP]


def pca_top(X: Tensor, rank: int, _: int) -> Tensor:
    """The images at the longer end of each principal component."""
    U, S, _V = torch.linalg.svd(X - X.mean(0), full_matrices=False)
    scores = (U * S).T[:rank]
    longer = torch.where(scores.amax(1) >= -scores.amin(1), 1.0, -1.0)
    return (scores * longer[:, None]).argsort(dim=1, descending=True, stable=True)[:, :TOP]


def nearest(features: Tensor) -> Tensor:
    """The nearest images of every image by the cosine of features, without itself."""
    rows = normalize(features, dim=1)
    cosine = (rows @ rows.T).fill_diagonal_(-2)
    return cosine.argsort(dim=1, descending=True, stable=True)[:, :NEIGHBOURS]


def same_class(indices: Tensor, labels: Tensor) -> float:
    """Share of the neighbours that have the class of their image."""
    return float((labels[indices] == labels[:, None]).double().mean())


def spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation over the concepts that have both."""
    both = a.isfinite() & b.isfinite()
    return float(spearmanr(a[both].numpy(), b[both].numpy())[0])


def _figures(means: dict[str, float], accuracies: Sequence[float]) -> list[Figure]:
    purity = means["purity_late_10"]
    neighbours_margin = means["neighbours_penultimate"] - means["neighbours_raw_features"]
    return [
        Figure("late_fit_accuracy", min(accuracies), 0.7),
        Figure("late_fit_purity_10", purity, 0.80),
        Figure("late_fit_purity_20", means["purity_late_20"], 0.68),
        Figure("late_fit_purity_above_untrained_10", purity - means["purity_untrained_10"], 0.4),
        Figure("late_fit_purity_above_kmeans_10", purity - means["purity_kmeans_10"], 0.05),
        Figure("late_fit_purity_above_pca_10", purity - means["purity_pca_10"], 0.2),
        Figure("late_fit_error_rise_10", means["error_rise_10"], 0.05, at_most=True),
        Figure("late_fit_error_rise_20", means["error_rise_20"], 0.05, at_most=True),
        Figure("late_fit_neighbours_same_class", max(means["neighbours_late_10"], means["neighbours_late_20"]), 0.48),
        Figure("late_fit_neighbours_penultimate_above_raw", neighbours_margin, -0.01),
        Figure("late_fit_spearman_clarity_10", means["spearman_clarity_10"], 0.8),
        Figure("late_fit_spearman_clarity_20", means["spearman_clarity_20"], 0.8),
        Figure(
            "late_fit_scores_off_one", max(means["scores_off_one_10"], means["scores_off_one_20"]), 1e-9, at_most=True
        ),
    ]
