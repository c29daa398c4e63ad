"""W1 spectra of a ResNet-18 that learns CIFAR-10, against their Gram products and weightwatcher."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table
from benchmarks.spectra.comparison import silence
from benchmarks.spectra.networks import cifar10, train
from lightning_factorlens.capture.weights import weight_layers
from lightning_factorlens.spectra import SpectraCache, fit_power_law, layer_spectra, unfold_weight

SNAPSHOTS = 6
STEPS = 15
REPETITIONS = 7
#: Exponents above this measure few, nearly equal eigenvalues.
LARGEST_ALPHA = 20.0


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the seconds of all parts in turn, and compares α with that of a float64 SVD on every snapshot."""
    data = cifar10(data_dir)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10).eval()
    n_compared = 0
    n_float32 = 0
    largest = 0.0
    for snapshot in range(1, (2 if quick else SNAPSHOTS) + 1):
        train(model, data, epochs=STEPS * 128 / len(data.train_x), lr=0.02, seed=snapshot)
        differences = alpha_differences(model)
        n_compared += len(differences)
        n_float32 += count_float32(model)
        largest = max(largest, *differences)
    best = seconds(model, 2 if quick else REPETITIONS)
    flops = sum(min(X.shape) ** 2 * max(X.shape) for X in matrices(model)) / 1e9
    ratios = {name: best["weightwatcher"] / best[name] for name in ("W1", "W1, unchanged")}
    lines = [[name, f"{1e3 * value:.1f}"] for name, value in best.items()]
    section = (
        "## Spectra\n\n`python -m benchmarks.scale --parts spectra`. ResNet-18 (10 classes) that learns CIFAR-10. "
        f"Shortest of {REPETITIONS} calls in turn, milliseconds of processor time; weightwatcher runs `analyze()` at "
        f"its defaults. The Gram products take {flops:.2f} GFLOP when half of each follows from the other half.\n\n"
        + markdown_table(["what", "ms"], lines)
        + f"\n\nα of {n_compared} matrices with α ≤ {LARGEST_ALPHA:g}, against that of a float64 SVD's singular "
        f"values: the largest difference is {largest:.1e}. {n_float32} of the matrices of all snapshots have their "
        "spectrum from float32, the others are too small, or their α was not certain enough."
    )
    figures = [
        Figure("spectra_over_gram_products", best["W1"] / best["Gram products, float64"], 2, at_most=True),
        Figure("spectra_speed_w1", ratios["W1"], 15),
        Figure("spectra_speed_unchanged", ratios["W1, unchanged"], 200),
        # The training thread computes the spectra itself.
        Figure("spectra_largest_alpha_difference", largest, 1e-3, at_most=True),
        Figure("spectra_matrices_compared", n_compared, 100),
    ]
    return Measured(section, {"seconds": best, "gflop": flops, "float32": n_float32}, figures)


def matrices(model: nn.Module) -> list[Tensor]:
    """The W1 unfolding of every layer."""
    return [unfold_weight(layer.weight)[0] for layer in weight_layers(model)]


def seconds(model: nn.Module, repetitions: int) -> dict[str, float]:
    """Shortest processor seconds of every call; all take turns."""
    with silence():
        import weightwatcher

        watcher = weightwatcher.WeightWatcher(model=model)
    cache = SpectraCache()
    layer_spectra(model, cache=cache)
    wide = [X.double().numpy() for X in matrices(model)]
    wide = [X if X.shape[0] <= X.shape[1] else X.T for X in wide]
    narrow = [X.astype("float32") for X in wide]
    calls = {
        "weightwatcher": watcher.analyze,
        "W1": lambda: layer_spectra(model),
        "W1, all in float64": lambda: layer_spectra(model, precision="float64"),
        "W1, unchanged": lambda: layer_spectra(model, cache=cache),
        "Gram products, float64": lambda: [X @ X.T for X in wide],
        "Gram products, float32": lambda: [X @ X.T for X in narrow],
        "copy of the weights": lambda: [layer.weight.clone() for layer in weight_layers(model)],
    }
    best = dict.fromkeys(calls, math.inf)
    for _ in range(repetitions):
        for name, call in calls.items():
            with silence():
                best[name] = min(best[name], timed(call)[0])
    return best


def alpha_differences(model: nn.Module) -> list[float]:
    """|Δα| of every layer whose α is at most 20, ours against that of a float64 SVD."""
    differences = []
    for X, spectrum in zip(matrices(model), layer_spectra(model)):
        alpha = fit_power_law(torch.linalg.svdvals(X.double()).square()).alpha
        if alpha <= LARGEST_ALPHA:
            differences.append(abs(spectrum.fit.alpha - alpha))
    return differences


def count_float32(model: nn.Module) -> int:
    """Number of layers whose spectrum is not that of float64."""
    n_layers = 0
    for found, exact in zip(layer_spectra(model), layer_spectra(model, precision="float64")):
        n_layers += not torch.equal(found.eigenvalues, exact.eigenvalues)
    return n_layers
