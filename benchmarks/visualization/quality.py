"""Pictures of all singular vectors of all layers beside 1,000 real images, in both presets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import cifar_resnet18, load_images, mnist_network
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.linalg.singular_vectors import singular_vectors
from lightning_factorlens.linalg.unfolding import unfold_weight
from lightning_factorlens.results import FeatureVisualization
from lightning_factorlens.visualization import Objective, leading_vectors, visualize

PROBE = 1000
#: Vectors of a layer of the ResNet in the natural preset, and of all layers without training.
FEW = 12
#: Largest total variation that counts as natural, relative to real images.
NATURAL_VARIATION = 2.5
NETWORKS: dict[str, tuple[Callable[..., nn.Module], str, int | None]] = {
    "MNIST network": (mnist_network, "mnist_network", None),
    "CIFAR-10 ResNet-18, a quarter of the width": (cifar_resnet18, "cifar_resnet18", FEW),
}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Shares of the live vectors whose picture is above every real image, by layer."""
    parts = []
    payload: dict[str, Any] = {}
    first, faithful, natural = [], [], []
    for name, (make, network, count) in NETWORKS.items():
        images = load_images(network, data_dir).test
        chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:PROBE]
        n_all, n_few = (4, 4) if quick else (None, count)
        layers = _layers(make(0, data_dir=data_dir), make(0, trained=False), images[chosen], n_all, n_few)
        payload[name] = layers
        parts.append(f"{name}:\n\n{_table(layers)}")
        first.append(layers[0]["closed_form"])
        faithful += [layer["faithful"] for layer in layers]
        natural += [layer["natural"] for layer in layers]
    figures = [
        Figure("faithful_share_of_closed_form", min(first), 0.999),
        Figure("faithful_share_above_real", min(faithful), 1.0),
        Figure("natural_share_above_real", min(natural), 0.8),
    ]
    joined = "\n\n".join(parts)
    section = f"""## Quality

`python -m benchmarks.visualization --parts quality`. Mean signal of every singular vector, 64 steps, {PROBE:,} test
images beside. "Faithful" and "natural": share of the live vectors whose picture is above every real image, of the
natural ones at a total variation of at most {NATURAL_VARIATION} × the real images'. Cosine of the layer's mean
output for the faithful picture with that for its nine exemplars, and with all images. Untrained: the faithful share of
the network before training, of {FEW} vectors a layer: a share of 1 is no sign of learning. The natural preset has
{FEW} vectors of each layer of the ResNet, everything else all. The first layer's mean signal is linear in the
image, and the faithful pictures reach {min(first):.5f} of its maximum in closed form.

{joined}
"""
    return Measured(section, payload, figures)


def _layers(
    trained: nn.Module, untrained: nn.Module, probe: Tensor, n_all: int | None, n_few: int | None
) -> list[dict[str, Any]]:
    """The measurements of every layer; each kind of picture is one call for all layers."""
    found = _by_layer(trained, probe, n_all, "faithful")
    soft = _by_layer(trained, probe, n_few, "natural")
    before = _by_layer(untrained, probe, FEW if n_all is None else n_all, "faithful")
    rows = []
    for layer, (first, last) in found.slices.items():
        faithful, natural, none = found.part(layer), soft.part(layer), before.part(layer)
        live = faithful["is_live"]
        is_natural = (natural["is_above"] & (natural["variation"] <= NATURAL_VARIATION))[natural["is_live"]]
        rows.append(
            {
                "layer": layer,
                "vectors": last - first,
                "live": int(live.sum()),
                "faithful": float(faithful["is_above"][live].float().mean()),
                "faithful_variation": float(faithful["variation"].median()),
                "natural": float(is_natural.float().mean()),
                "natural_variation": float(natural["variation"].median()),
                "exemplar_cosine": float(faithful["exemplar_cosine"][live].mean()),
                "probe_cosine": float(faithful["probe_cosine"][live].mean()),
                "untrained": float(none["is_above"][none["is_live"]].float().mean()),
            }
        )
    rows[0]["closed_form"] = _share_of_maximum(trained, found.result, rows[0]["vectors"])
    return rows


@dataclass(frozen=True)
class ByLayer:
    """Pictures of vectors of all layers, and where those of each layer begin and end."""

    result: FeatureVisualization
    slices: dict[str, tuple[int, int]]

    def part(self, layer: str) -> dict[str, Tensor]:
        """What is measured of the pictures of one layer."""
        rows = slice(*self.slices[layer])
        names = ("is_live", "is_above", "variation", "exemplar_cosine", "probe_cosine")
        return {name: getattr(self.result, name)[rows] for name in names}


def _by_layer(model: nn.Module, probe: Tensor, count: int | None, preset: str) -> ByLayer:
    """Pictures of the leading vectors of every layer."""
    objectives: list[Objective] = []
    slices = {}
    for layer in linear_layers(model):
        vectors = leading_vectors(model, layer.name, count)
        slices[layer.name] = (len(objectives), len(objectives) + len(vectors))
        objectives += vectors
    print(f"{len(objectives)} pictures, {preset} …", flush=True)
    return ByLayer(visualize(model, probe, objectives, preset, progress=_Ticker()), slices)


class _Ticker:
    """Prints every twentieth of the steps."""

    def __init__(self) -> None:
        self.printed = 0

    def __call__(self, done: int, total: int) -> None:
        if done * 20 // total > self.printed:
            self.printed = done * 20 // total
            print(f"  {self.printed * 5} %", flush=True)


def _share_of_maximum(model: nn.Module, found: FeatureVisualization, n_vectors: int) -> float:
    """Smallest share of the closed-form maximum of the first layer's mean signal that a picture reaches."""
    layer = linear_layers(model)[0]
    U = singular_vectors(unfold_weight(layer.weight.weight)).U[0].float()
    low, high = found.low[:, None, None], found.high[:, None, None]
    shares = []
    for vector, score in zip(leading_vectors(model, layer.name, n_vectors), found.scores):
        image = torch.zeros(1, *found.pictures.shape[1:], requires_grad=True)
        signal = (U[:, vector.index, None, None] * layer.module(image)).sum(1).mean()
        (gradient,) = torch.autograd.grad(signal, image)
        largest = (gradient[0] * torch.where(gradient[0] > 0, high, low)).sum()
        shares.append(float(score / largest))
    return min(shares)


def _table(layers: list[dict[str, Any]]) -> str:
    header = ("layer", "vectors", "live", "faithful", "variation", "natural", "variation", "cos exemplars", "cos all")
    rows = []
    for layer in layers:
        cells = [layer["layer"], str(layer["vectors"]), str(layer["live"])]
        for name in ("faithful", "faithful_variation", "natural", "natural_variation"):
            cells.append(f"{layer[name]:.2f}")
        for name in ("exemplar_cosine", "probe_cosine", "untrained"):
            cells.append(f"{layer[name]:.2f}")
        rows.append(cells)
    return markdown_table((*header, "untrained"), rows)
