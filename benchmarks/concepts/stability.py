"""Are concepts found again: by other seeds, random starts, halves, another probe, and another training seed?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.concepts.cifar import Images, load_cifar, make_network, train_network
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import match_concepts
from lightning_factorlens.linalg.matching import match_rows

SAMPLES = 1000
RANKS = (10, 20, 32)
RESTARTS = 3
#: Name of a figure → one median over the concepts for each network and probe.
Rows = dict[str, list[float]]


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures on CIFAR-10 with one training seed, or three."""
    images = load_cifar(data_dir)
    seeds = range(1 if quick else 3)
    networks = [train_network(seed, images) for seed in seeds]
    rows: Rows = {}
    for seed, model in zip(seeds, networks):
        for rank in RANKS:
            add_stability(rows, f"trained {rank}", model, images, rank)
            add_stability(rows, f"untrained {rank}", make_network(seed).eval(), images, rank)
    for rank in RANKS:
        add_training_seeds(rows, rank, networks, images.test[:SAMPLES])
    table = []
    for name, values in rows.items():
        table.append([name, f"{np.mean(values):.3f}", f"{min(values):.3f}", f"{max(values):.3f}"])
    text = (
        "## Stability\n\n`python -m benchmarks.concepts --parts stability`. Median cosine of matched concepts, and the "
        f"share that survives all kinds of fits; {SAMPLES} test images of CIFAR-10, training seeds: {len(seeds)}. By "
        f"F: {RESTARTS} other seeds, {RESTARTS} random starts, another training seed. By W: halves of the probe, and "
        "another probe. Chance: the same rows of F with the samples permuted; it is high where every concept has all "
        "images.\n\n" + markdown_table(["figure", "mean", "lowest", "highest"], table)
    )
    return Measured(text, {"figures": rows}, _figures({name: float(np.mean(values)) for name, values in rows.items()}))


def add_stability(rows: Rows, name: str, model: nn.Module, images: Images, rank: int) -> None:
    """The stability of one network's concepts."""
    probe = images.test[:SAMPLES]
    other = images.test[SAMPLES : 2 * SAMPLES]
    found = FactorLens(model, outputs="classes").concept_stability(probe, rank, restarts=RESTARTS, other_probe=other)
    for kind, cosine in found.cosine.items():
        rows.setdefault(f"{name} {kind}", []).append(float(cosine.median()))
    rows.setdefault(f"{name} chance", []).append(found.chance)
    rows.setdefault(f"{name} survivors", []).append(float(found.survives.double().mean()))


def add_training_seeds(rows: Rows, rank: int, networks: list[nn.Sequential], probe: Tensor) -> None:
    """Concepts of networks of different training seeds on one probe."""
    fits = [FactorLens(model, outputs="classes").concepts(probe, rank) for model in networks]
    order = torch.randperm(len(probe), generator=torch.Generator().manual_seed(0))
    for a, b in zip(fits, fits[1:]):
        rows.setdefault(f"trained {rank} training seeds", []).append(float(match_concepts(a, b).cosine.median()))
        chance = match_rows(a.F, b.F[:, order])[1].median()
        rows.setdefault(f"trained {rank} training seeds chance", []).append(float(chance))


def _figures(means: dict[str, float]) -> list[Figure]:
    return [
        Figure("stability_seeds_10", means["trained 10 seeds"], 0.95),
        Figure("stability_seeds_20", means["trained 20 seeds"], 0.86),
        Figure("stability_seeds_32", means["trained 32 seeds"], 0.87),
        Figure("stability_random_starts_20", means["trained 20 random starts"], 0.78),
        Figure("stability_other_probe_10", means["trained 10 other probe"], 0.89),
        Figure("stability_other_probe_20", means["trained 20 other probe"], 0.78),
        Figure("stability_other_probe_32", means["trained 32 other probe"], 0.73),
        Figure("stability_above_chance_10", means["trained 10 other probe"] - means["trained 10 chance"], 0.4),
    ]
