"""Pictures of all singular vectors of all layers beside 1,000 real images, in both presets."""

from __future__ import annotations

from collections.abc import Callable
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
from lightning_factorlens.visualization import leading_vectors, visualize

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
        layers = _layers(make(0, data_dir=data_dir), make(0, trained=False), images[chosen], count, quick)
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

`python -m benchmarks.visualization --parts quality`. Mean signal of every singular vector, 64 steps, {PROBE:,} test images
beside. "Faithful" and "natural": share of the live vectors whose picture is above every real image, of the natural ones at
a total variation of at most {NATURAL_VARIATION} × the real images'. Cosine of the layer's mean output for the faithful picture
with that for its nine exemplars, and with all images. Untrained: the faithful share of the network before training, of
{FEW} vectors a layer: a share of 1 is no sign of learning. The natural preset has {FEW} vectors of each layer of the ResNet,
everything else all. The first layer's mean signal is linear in the image, and the faithful pictures reach
{min(first):.5f} of its maximum in closed form.

{joined}
"""
    return Measured(section, payload, figures)


def _layers(
    trained: nn.Module, untrained: nn.Module, probe: Tensor, count: int | None, quick: bool
) -> list[dict[str, Any]]:
    """The measurements of every layer."""
    rows = []
    for index, layer in enumerate(linear_layers(trained)):
        every = leading_vectors(trained, layer.name, 4 if quick else None)
        found = visualize(trained, probe, every)
        soft = visualize(trained, probe, every[:count], "natural")
        before = visualize(untrained, probe, leading_vectors(untrained, layer.name, FEW))
        is_natural = (soft.is_above & (soft.variation <= NATURAL_VARIATION))[soft.is_live]
        live = found.is_live
        rows.append(
            {
                "layer": layer.name,
                "vectors": len(found),
                "live": int(live.sum()),
                "faithful": found.share_above,
                "faithful_variation": float(found.variation.median()),
                "natural": float(is_natural.float().mean()),
                "natural_variation": float(soft.variation.median()),
                "exemplar_cosine": float(found.exemplar_cosine[live].mean()),
                "probe_cosine": float(found.probe_cosine[live].mean()),
                "untrained": before.share_above,
                "closed_form": _share_of_maximum(trained, found) if index == 0 else None,
            }
        )
        print(rows[-1], flush=True)
    return rows


def _share_of_maximum(model: nn.Module, found: FeatureVisualization) -> float:
    """Smallest share of the closed-form maximum of the first layer's mean signal that a picture reaches."""
    layer = linear_layers(model)[0]
    U = singular_vectors(unfold_weight(layer.weight.weight)).U[0].float()
    low, high = found.low[:, None, None], found.high[:, None, None]
    shares = []
    for vector, score in zip(leading_vectors(model, layer.name), found.scores):
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
