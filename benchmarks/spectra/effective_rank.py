"""Effective ranks and SVD bounds of real activations against a float64 SVD, and what they cost.

    python -m benchmarks.spectra.effective_rank --data-dir DIR [--steps 100] [--snapshots 3]

A ReLU and a sigmoid CNN learn MNIST, a ResNet-18 and a vision transformer CIFAR-10, for some steps; the lens observes
256 images before and between. The cost is compared with that of Gram matrices and eigenvalues in float32, which the
lens used before and which are up to 62 % off. `DIR` holds `MNIST/raw` and `cifar10.npz`. One thread, about five
minutes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, write_json, write_section
from benchmarks.spectra.networks import Data, cifar10, mnist, train
from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.factorization import CoupledProblem, fit
from lightning_factorlens.measurements import Measurement
from lightning_factorlens.metrics.rank_curve import BlockGroups

RANKS = (1, 2, 4, 8, 16, 32)
PROBE = 256


class KeepProblem(Measurement):
    """Keeps the blocks that the lens factorizes."""

    name = "keep_problem"
    needs = frozenset({"factorization"})

    def measure(self, context):
        """Keeps the problem and the factorization."""
        self.problem = context.problem
        self.factorization = context.factorization


@dataclass(frozen=True)
class Network:
    """A network and what it learns.

    Attributes:
        make: Makes the untrained network.
        load: Reads the images from the folder of the data.
        lr: First learning rate.
    """

    make: Callable[[], nn.Module]
    load: Callable[[Path], Data]
    lr: float = 0.02


def networks() -> dict[str, Network]:
    """The networks by name."""
    return {
        "ReLU CNN, MNIST": Network(lambda: cnn(nn.ReLU), mnist),
        "sigmoid CNN, MNIST": Network(lambda: cnn(nn.Sigmoid), mnist, lr=0.2),
        "ResNet-18, CIFAR-10": Network(lambda: torchvision.models.resnet18(num_classes=10), cifar10),
        "ViT, CIFAR-10": Network(
            lambda: torchvision.models.VisionTransformer(32, 4, 4, 4, 96, 192, num_classes=10), cifar10
        ),
    }


def cnn(activation: type[nn.Module]) -> nn.Module:
    """Two convolutions with pooling, and two hidden layers, for images of 28 × 28 pixels."""
    convolutions = [nn.Conv2d(1, 20, 3), activation(), nn.MaxPool2d(2), nn.Conv2d(20, 32, 3), activation()]
    hidden = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 128), activation(), nn.Linear(128, 64), activation()]
    return nn.Sequential(*convolutions, *hidden, nn.Linear(64, 10))


def main() -> None:
    """Trains, measures, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with MNIST/raw and cifar10.npz")
    parser.add_argument("--steps", type=int, default=100, help="training steps between two snapshots")
    parser.add_argument("--snapshots", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, network in networks().items():
        data = network.load(args.data_dir)
        torch.manual_seed(0)
        model = network.make().eval()
        for snapshot in range(args.snapshots):
            if snapshot:
                train(model, data, epochs=args.steps * 128 / len(data.train_x), lr=network.lr, seed=snapshot)
            rows.append({"network": name, "steps": snapshot * args.steps, **measure(model, data)})
            print(rows[-1], flush=True)
    figures = judge(rows)
    about = machine(["torchvision"])
    write_json("spectra", "effective_rank", {"machine": about, "rows": rows}, figures)
    header = [
        "network",
        "steps",
        "parts",
        "effective rank off by",
        "bound off by",
        "float32 off by",
        "time of float32 ×",
    ]
    lines = []
    for row in rows:
        offs = [f"{row[key]:.1e}" for key in ("rank_off", "bound_off", "float32_off")]
        lines.append([row["network"], str(row["steps"]), str(row["parts"]), *offs, f"{row['time_ratio']:.2f}"])
    text = (
        "## Effective ranks and SVD bounds\n\n`python -m benchmarks.spectra.effective_rank --data-dir DATA`: "
        f"{about['processor']}, {about['date']}, {PROBE} images, largest relative deviation from a float64 SVD over "
        "all layers and all of them together.\n\n" + markdown_table(header, lines)
    )
    write_section("spectra", "effective_rank", text)
    print_figures(figures)


def measure(model: nn.Module, data: Data) -> dict[str, float]:
    """Largest relative deviations from a float64 SVD, and the time relative to float32."""
    keep = KeepProblem()
    FactorLens(model, LensOptions(ranks=(1, 2)), [keep]).observe(data.test_x[:PROBE])
    problem = keep.problem
    seconds, float32_seconds = best_times(problem)
    groups = BlockGroups(problem)
    found = groups.effective_ranks()
    old = float32_effective_ranks(groups)
    factorization = fit(problem, RANKS)
    bounds = groups.svd_curves(groups.curves(factorization))
    rank_off = bound_off = float32_off = 0.0
    for part, members in groups.members.items():
        X = torch.cat([problem.blocks[b].samples.double() * problem.omega[b] for b in members], 1)
        sigma = np.linalg.svd(X.numpy(), compute_uv=False)
        p = sigma / sigma.sum()
        p = p[p > 0]
        true_rank = float(np.exp(-(p * np.log(p)).sum()))
        rank_off = max(rank_off, abs(found[part] / true_rank - 1))
        float32_off = max(float32_off, abs(old[part] / true_rank - 1))
        for k, rank in enumerate(RANKS):
            true_bound = float(np.sqrt((sigma[rank:] ** 2).sum() / (sigma**2).sum()))
            if true_bound > 1e-6:
                bound_off = max(bound_off, abs(bounds[part].rel_error[k] / true_bound - 1))
    return {
        "parts": len(found),
        "rank_off": rank_off,
        "bound_off": bound_off,
        "float32_off": float32_off,
        "seconds": seconds,
        "time_ratio": seconds / float32_seconds,
    }


def best_times(problem: CoupledProblem, repetitions: int = 5) -> tuple[float, float]:
    """Shortest seconds of the effective ranks, in float64 and in float32, measured in turn."""
    seconds = []
    float32_seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        BlockGroups(problem).effective_ranks()
        middle = time.perf_counter()
        float32_effective_ranks(BlockGroups(problem))
        seconds.append(middle - start)
        float32_seconds.append(time.perf_counter() - middle)
    return min(seconds), min(float32_seconds)


def float32_effective_ranks(groups: BlockGroups) -> dict[str, float]:
    """Effective ranks from float32 products and eigenvalues, with the cut that these need."""
    problem: CoupledProblem = groups.problem
    weighted = torch.stack([problem.gram_block(b) for b in range(len(problem.blocks))]).float()
    sums = []
    for members in groups.members.values():
        sums.append(weighted[members].sum(0))
        if len(members) > 1:
            sums.append(weighted[members].sum(0))  # unweighted, for the bounds
    values = dict(zip(_names(groups), torch.linalg.eigvalsh(torch.stack(sums))))
    return {part: _float32_rank(values[part]) for part in groups.members}


def _names(groups: BlockGroups) -> list[str]:
    names = []
    for part, members in groups.members.items():
        names.append(part)
        if len(members) > 1:
            names.append(f"{part}, unweighted")
    return names


def _float32_rank(eigenvalues: Tensor) -> float:
    sigma = eigenvalues.double().clamp_min(0).sqrt()
    sigma = sigma[sigma > sigma.max() * (torch.finfo(torch.float32).eps * len(sigma)) ** 0.5]
    p = sigma / sigma.sum()
    return float((-(p * p.log()).sum()).exp())


def judge(rows: list[dict[str, float]]) -> list[Figure]:
    """The figures: largest deviations, and the mean ratio of times."""
    ratios = [row["time_ratio"] for row in rows]
    return [
        Figure("effective_rank_largest_deviation", max(row["rank_off"] for row in rows), 1e-4, at_most=True),
        Figure("svd_bound_largest_deviation", max(row["bound_off"] for row in rows), 1e-4, at_most=True),
        Figure("effective_rank_time_over_float32", float(np.mean(ratios)), 1.5, at_most=True),
    ]


if __name__ == "__main__":
    main()
