"""Deconvnets beside Captum's, a chain written by hand and the functional form of a network; and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.networks import cifar_cnn, cifar_resnet18, load_images, mnist_network
from benchmarks.part import Measured, interleaved_medians
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.results import UnitProjections
from lightning_factorlens.visualization import deconvnet

#: Images of a batch, as the cost is stated for.
BATCH = 32
#: Units that are projected.
UNITS = tuple(range(8))
#: Network → the layers that are compared.
LAYERS = {
    "mnist_network": (mnist_network, ("relu1", "relu2", "relu3", "fc2")),
    "cifar_cnn": (cifar_cnn, ("relu1", "relu2", "relu4", "fc")),
    "cifar_resnet18": (cifar_resnet18, ("relu", "layer2", "fc")),
}
UNPOOL = ("switches", "regions")


class FunctionalCifarCNN(nn.Module):
    """`cifar_cnn` with functional calls, some of them in place."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """The network's output."""
        for number in range(1, 5):
            conv, norm = self.model.get_submodule(f"conv{number}"), self.model.get_submodule(f"bn{number}")
            x = F.relu(norm(conv(x)), inplace=number % 2 == 0)
            x = F.max_pool2d(x, 2) if number < 4 else x
        output: Tensor = self.model.get_submodule("fc")(x.mean((2, 3)))
        return output


def measure(data_dir: Path, quick: bool) -> Measured:
    """Compares projections and measures the processor time in forward passes."""
    rows = []
    figures = []
    values: dict[str, Any] = {}
    for name, (make, layers) in LAYERS.items():
        model = make(0)
        images = load_images(name, data_dir).test[:BATCH]
        for layer in layers:
            distance = captum_distance(model, images, layer, 2 if quick else 8)
            cost = costs(model, images, layer)
            values[f"{name}/{layer}"] = {"difference": distance, **cost}
            cells = [f"{cost[f'ours, {unpool}']:.2f}" for unpool in UNPOOL]
            rows.append([f"{name}, {layer}", f"{distance:.1e}", *cells, f"{cost['Captum']:.2f}"])
    found = list(values.values())
    farthest = max(v["difference"] for v in found)
    figures.append(Figure("deconvnet_captum_distance", farthest, 1e-5, at_most=True))
    most = max(v[f"ours, {unpool}"] for v in found for unpool in UNPOOL)
    figures.append(Figure("deconvnet_forward_passes_a_unit", most, 3.0, at_most=True))
    images = load_images("cifar_cnn", data_dir).test[:BATCH]
    for unpool in UNPOOL:
        figures.append(
            Figure(f"deconvnet_functional_distance_{unpool}", functional_distance(images, unpool), 0.0, True)
        )
        figures.append(Figure(f"deconvnet_chain_distance_{unpool}", chain_distance(data_dir, unpool), 0.0, True))
    captum_moves = captum_functional_distance(images)
    text = (
        f"## Deconvnet\n\n`python -m benchmarks.visualization --parts deconvnet`. {len(UNITS)} units of a layer and "
        f"{BATCH} images. First the largest difference from Captum's `NeuronDeconvolution` times the activation, "
        "relative to the largest pixel; then the processor time of a unit in forward passes of the batch. The "
        "functional form of cifar_cnn has the same projections bit for bit; Captum's, which follow modules alone, "
        f"move by {captum_moves:.2f} of their norm.\n\n"
    )
    header = ["layer", "difference from Captum", "switches", "regions", "Captum"]
    values["captum_functional_distance"] = captum_moves
    return Measured(text + markdown_table(header, rows), values, figures)


def project(model: nn.Module, images: Tensor, layer: str, unpool: str = "switches") -> UnitProjections:
    """The projections of the units of all images."""
    return deconvnet(model, images, layer, UNITS, range(len(images)), unpool=unpool)  # type: ignore[arg-type]


def captum_projection(model: nn.Module, layer: str, image: Tensor, maps: Tensor, unit: int) -> Tensor:
    """What Captum projects back from the strongest position of a unit, times the activation there.

    Args:
        model: A network of modules.
        layer: The layer.
        image: Shape (C, H, W).
        maps: The unit's map of it.
        unit: The unit.
    """
    from captum.attr import NeuronDeconvolution

    place = tuple(int(index) for index in torch.unravel_index(maps.argmax(), maps.shape)) if maps.ndim else ()
    attribution = NeuronDeconvolution(model, model.get_submodule(layer))
    found: Tensor = attribution.attribute(image[None], neuron_selector=(unit, *place))
    return found[0].detach() * maps.amax().clamp_min(0)


def captum_distance(model: nn.Module, images: Tensor, layer: str, n_images: int) -> float:
    """Largest difference from Captum's projections, relative to their largest pixel."""
    ours = project(model, images, layer)
    largest = 0.0
    for number, unit in enumerate(UNITS):
        for image in range(n_images):
            theirs = captum_projection(model, layer, images[image], ours.maps[number, image], unit)
            scale = float(theirs.abs().amax())
            if scale > 0:
                largest = max(largest, float((theirs - ours.projections[number, image]).abs().amax()) / scale)
    return largest


def costs(model: nn.Module, images: Tensor, layer: str) -> dict[str, float]:
    """Processor time of one unit, in forward passes of the batch."""
    from captum.attr import NeuronDeconvolution

    with torch.no_grad():
        shape = project(model, images[:1], layer).maps.shape[2:]
    place = (0, *[size // 2 for size in shape])
    attribution = NeuronDeconvolution(model, model.get_submodule(layer))

    def forward() -> None:
        with torch.no_grad():
            model(images)

    calls: dict[str, Callable[[], Any]] = {
        "forward": forward,
        "Captum": lambda: attribution.attribute(images, neuron_selector=place),
    }
    for unpool in UNPOOL:
        calls[f"ours, {unpool}"] = lambda unpool=unpool: project(model, images, layer, unpool)
    for call in calls.values():
        call()
    seconds = interleaved_medians(calls, 5)
    found = {"Captum": seconds["Captum"] / seconds["forward"]}
    for unpool in UNPOOL:
        found[f"ours, {unpool}"] = seconds[f"ours, {unpool}"] / seconds["forward"] / len(UNITS)
    return found


def functional_distance(images: Tensor, unpool: str) -> float:
    """Largest difference between the projections of a network of modules and of its functional form."""
    modular = cifar_cnn(0)
    ours = project(modular, images, "fc", unpool)
    functional = project(FunctionalCifarCNN(modular), images, "model.fc", unpool)
    return float((ours.projections - functional.projections).abs().amax())


def captum_functional_distance(images: Tensor) -> float:
    """Relative distance between Captum's attributions of a network of modules and of its functional form."""
    from captum.attr import Deconvolution

    modular = cifar_cnn(0)
    theirs = [Deconvolution(model).attribute(images, target=0) for model in (modular, FunctionalCifarCNN(modular))]
    return float((theirs[0] - theirs[1]).norm() / theirs[0].norm())


@torch.no_grad()
def chain_distance(data_dir: Path, unpool: str) -> float:
    """Largest difference from the projections of the MNIST network's last layer written by hand."""
    model = mnist_network(0)
    images = load_images("mnist_network", data_dir).test[:BATCH]
    conv1, conv2, fc1, fc2 = (model.get_submodule(name) for name in ("conv1", "conv2", "fc1", "fc2"))
    rectified = F.relu(conv2(F.relu(conv1(images))))
    pooled, switches = F.max_pool2d(rectified, 2, return_indices=True)
    scores = fc2(F.relu(fc1(pooled.flatten(1))))
    ours = project(model, images, "fc2", unpool)
    largest = 0.0
    for number, unit in enumerate(UNITS):
        back = scores[:, unit, None].clamp_min(0) * fc2.weight[unit]
        back = (back.clamp_min(0) @ fc1.weight).view_as(pooled)
        if unpool == "switches":
            back = F.max_unpool2d(back, switches, 2, output_size=rectified.shape[2:])
        else:
            back = back.repeat_interleave(2, 2).repeat_interleave(2, 3)
        back = F.conv_transpose2d(back.clamp_min(0), conv2.weight)
        back = F.conv_transpose2d(back.clamp_min(0), conv1.weight)
        largest = max(largest, float((back - ours.projections[number]).abs().amax()))
    return largest
