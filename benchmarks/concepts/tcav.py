"""TCAV on concepts: Captum's numbers, the exact null, agreement beside the untrained network, and the cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.concepts.cifar import Images, load_cifar, make_network, train_network
from benchmarks.concepts.tcav_cost import RANDOM_SETS, TIMED_SETS, TOP, Case, measure_captum, measure_cost
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from benchmarks.solver.networks import CNN, RECIPES, trained
from lightning_factorlens import FactorLens
from lightning_factorlens.results import Concepts

SAMPLES = 1000
RANKS = (10, 20)
#: Layers of the last stage: the last two.
LAST = 2
LEVEL = 0.05


class Logits(nn.Module):
    """The scores of the MNIST network alone, which also returns its activations."""

    def __init__(self, network: CNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, 10)."""
        scores: Tensor = self.network(x)[0]
        return scores


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures on CIFAR-10 with one training seed, or three, and on MNIST."""
    images = load_cifar(data_dir)
    cases = [_cifar_case(seed, images) for seed in range(1 if quick else 3)]
    cases += [_mnist_case(seed, data_dir) for seed in range(1 if quick else 3)]
    rows: dict[str, dict[str, float]] = {}
    for case in cases:
        for rank in RANKS:
            rows[f"{case.name}, rank {rank}"] = measure_agreement(case, rank)
    peer = measure_captum(cases[0], RANKS[-1], 2 if quick else 6)
    cost = measure_cost(3 if quick else 7)
    payload = {"agreement": rows, "captum": peer, "cost": cost}
    return Measured(_section(rows, peer, cost), payload, _figures(rows, peer, cost))


def _cifar_case(seed: int, images: Images) -> Case:
    probe = images.test[seed * SAMPLES : (seed + 1) * SAMPLES]
    return Case(f"CIFAR-10, seed {seed}", train_network(seed, images), make_network(seed).eval(), probe)


def _mnist_case(seed: int, data_dir: Path) -> Case:
    """One training seed, beside untrained networks of several."""
    _, network, probe = trained("mnist", data_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = CNN(RECIPES["mnist"])
    return Case(f"MNIST, untrained seed {seed}", Logits(network).eval(), Logits(untrained).eval(), probe)


def measure_agreement(case: Case, rank: int) -> dict[str, float]:
    """Agreement of gradient and images, significance and constant sign counts, and the share of false positives."""
    lens = FactorLens(case.model, outputs="classes")
    control = FactorLens(case.untrained, outputs="classes")
    concepts = lens.concepts(case.images, rank)
    result = lens.tcav(case.images, concepts, count=TOP)
    # The untrained network with concepts of its own, and with the images of the trained one's.
    own = control.tcav(case.images, control.concepts(case.images, rank), result.image_classes, count=TOP)
    shared = control.tcav(case.images, concepts, result.image_classes, count=TOP)
    return {
        "agreement": _late(result.agreement()),
        "closed_form": _late(result.agreement(closed_form=True)),
        "untrained": _late(own.agreement()),
        "untrained_same_images": _late(shared.agreement()),
        "chance": 1 / len(result.classes),
        "significant": float(result.significant_share().mean()),
        "untrained_significant": float(own.significant_share().mean()),
        "constant_signs": _late(result.constant_share()),
        "false_positives": false_positives(lens, case.images, concepts),
        "untrained_false_positives": false_positives(control, case.images, concepts, result.image_classes),
    }


def _late(values: Tensor) -> float:
    return float(values[-LAST:].mean())


def false_positives(lens: FactorLens, images: Tensor, concepts: Concepts, classes: Any = "predictions") -> float:
    """Share of the concepts of random images that are significant at 5 % without a correction."""
    n_concepts = 1000
    F = torch.rand(n_concepts, len(images), generator=torch.Generator().manual_seed(1))
    result = lens.tcav(images, replace(concepts, rank=n_concepts, F=F), classes, count=TOP, draws=10_000)
    return float((result.p_value <= LEVEL).double().mean())


def _section(rows: dict[str, dict[str, float]], peer: dict[str, float], cost: dict[str, float]) -> str:
    columns = list(next(iter(rows.values())))
    table = []
    for name, found in rows.items():
        table.append([name, *(f"{found[column]:.2f}" for column in columns[:-2])])
    header = ["network", *(column.replace("_", " ") for column in columns[:-2])]
    false = [100 * found[column] for found in rows.values() for column in columns[-2:]]
    about = (
        "`python -m benchmarks.concepts --parts tcav`. Agreement: share of the concepts whose strongest class by the "
        f"mean derivative is the one that their images name, mean of the last {LAST} layers, the classes being those "
        "that the trained network predicts. The untrained network has concepts of its own, or the images of the "
        "trained one's. Significant: pairs of class and concept in all layers, after Holm's correction. Constant "
        f"signs: share of the sign counts of the last {LAST} layers that are 0 or 1."
    )
    null = f"Concepts of random images are significant at 5 % in {min(false):.1f} to {max(false):.1f} %."
    captum = (
        f"Captum with the same vectors: sign counts differ by at most {peer['sign_difference']:.1e}, means by "
        f"{peer['mean_difference']:.1e} of the largest. Processor seconds for each layer, {RANKS[-1]} concepts and all "
        f"classes: {peer['seconds_per_layer']:.2f}, Captum with {RANDOM_SETS} random sets for each concept "
        f"{peer['captum_seconds_per_layer']:.0f} (extrapolated from {TIMED_SETS} vectors), {peer['ratio']:.0f} times "
        "as many."
    )
    passes = (
        f"ResNet-18, 512 images of 64 × 64, rank 16, all layers: every image passes forward {cost['passes']:.2f} times "
        f"and backward once, which takes the time of {cost['in_forward_passes']:.1f} forward passes."
    )
    return "\n\n".join(["## TCAV", about, markdown_table(header, table), null, captum, passes])


def _figures(rows: dict[str, dict[str, float]], peer: dict[str, float], cost: dict[str, float]) -> list[Figure]:
    def mean(name: str, part: str) -> float:
        return float(np.mean([found[name] for key, found in rows.items() if key.startswith(part)]))

    off = 0.0
    for found in rows.values():
        for key in ("false_positives", "untrained_false_positives"):
            off = max(off, abs(100 * found[key] - 5))
    figures = []
    for part, word in (("CIFAR", "cifar"), ("MNIST", "mnist")):
        untrained = max(mean("untrained", part), mean("untrained_same_images", part))
        figures.append(Figure(f"tcav_agreement_{word}", mean("agreement", part), 0.85))
        figures.append(Figure(f"tcav_agreement_untrained_{word}", untrained, 0.25, at_most=True))
    return [
        *figures,
        Figure("tcav_captum_sign_difference", peer["sign_difference"], 1e-6, at_most=True),
        Figure("tcav_captum_mean_difference", peer["mean_difference"], 1e-6, at_most=True),
        Figure("tcav_false_positives_off_5_percent", off, 1, at_most=True),
        Figure("tcav_forward_passes", cost["passes"], 3, at_most=True),
        Figure("tcav_time_in_forward_passes", cost["in_forward_passes"], 3, at_most=True),
        Figure("tcav_speed_against_captum_per_layer", peer["ratio"], 50),
    ]
