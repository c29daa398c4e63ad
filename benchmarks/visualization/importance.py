"""Node importance: equal to brute force, at a small part of a forward pass; and where dead units rank by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import cifar_cnn, cifar_resnet18, load_images, mnist_network
from benchmarks.part import Measured, interleaved_medians
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.results import NodeImportance
from lightning_factorlens.visualization import node_importance

#: Images of the probe.
IMAGES = 1000
#: Images of a pass, as those of a `Probe`.
PASS = 128
#: Networks, and the convolutions in which units are killed by their bias.
NETWORKS = {
    "mnist_network": (mnist_network, "conv2"),
    "cifar_cnn": (cifar_cnn, "conv2"),
    "cifar_resnet18": (cifar_resnet18, ""),
}
#: Units that are killed.
KILLED = 4


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures cost and differences from brute force on three networks."""
    rows = []
    figures = []
    values: dict[str, Any] = {}
    for name, (make, killed_layer) in NETWORKS.items():
        model, images = make(0), load_images(name, data_dir).test[: IMAGES // (4 if quick else 1)]
        difference, norm_difference = brute_force_difference(model, images[:PASS])
        cost = added_cost(model, images)
        ranks = killed_ranks(make(0), killed_layer, images) if killed_layer else []
        values[name] = {"difference": difference, "norms": norm_difference, "cost": cost, "ranks": ranks}
        figures.append(Figure(f"importance_difference_{name}", max(difference, norm_difference), 1e-5, at_most=True))
        figures.append(Figure(f"importance_added_cost_{name}", cost, 0.15, at_most=True))
        rows.append([name, f"{difference:.1e}", f"{norm_difference:.1e}", f"{100 * cost:.0f} %", _in_words(ranks)])
    text = (
        f"## Node importance\n\n`python -m benchmarks.visualization --parts importance`. {IMAGES} test images. z and "
        "the squared layer norms against brute force (largest relative difference); processor time added to a forward "
        f"pass of the probe; and the ranks by mean z of {KILLED} units that were killed by their bias: z is taken "
        "before it, so they rank as before. `NodeImportance.table` marks them.\n\n"
    )
    header = ["network", "z", "norm² − Σ z²", "added time", "ranks of killed units"]
    return Measured(text + markdown_table(header, rows), values, figures)


def brute_force_difference(model: nn.Module, images: Tensor) -> tuple[float, float]:
    """Largest relative difference of z, and of the squared layer norms, from what the layers compute one by one."""
    found = node_importance(model, images)
    largest, of_norms = 0.0, 0.0
    for layer in linear_layers(model):
        expected = _brute_force(model, layer.module, layer.channel_axis, images)
        scale = expected.abs().amax()
        largest = max(largest, float((found[layer.name].z - expected).abs().amax() / scale))
        squares = expected.double().square().sum(1)
        of_norms = max(of_norms, float(((found[layer.name].layer_norms ** 2 - squares) / squares).abs().amax()))
    return largest, of_norms


@torch.no_grad()
def _brute_force(model: nn.Module, layer: nn.Module, axis: int, images: Tensor) -> Tensor:
    """Z of one layer: its output without a bias, in float64, image by image."""
    inputs: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _module, args: inputs.append(args[0].clone()))
    model(images)
    handle.remove()
    weight = layer.weight.double()  # type: ignore[operator]
    rows = []
    for image in inputs[0].double():
        if isinstance(layer, nn.Conv2d):
            output = nn.functional.conv2d(image[None], weight, None, layer.stride, layer.padding, layer.dilation)
        else:
            output = (image @ weight.T)[None]
        rows.append(output.movedim(axis, 1).flatten(2).norm(dim=2) if output.ndim > 2 else output.abs())
    return torch.cat(rows).float()


def added_cost(model: nn.Module, images: Tensor) -> float:
    """Processor time beyond a forward pass of the probe, in such passes."""

    def forward() -> None:
        with torch.no_grad():
            for part in images.split(PASS):
                model(part)

    node_importance(model, images)
    seconds = interleaved_medians({"forward": forward, "importance": lambda: node_importance(model, images)}, 7)
    return seconds["importance"] / seconds["forward"] - 1


@torch.no_grad()
def killed_ranks(model: nn.Module, layer: str, images: Tensor) -> list[int]:
    """Ranks by mean z, from 1, of active units whose bias has been set to a large negative value."""
    before = node_importance(model, images, [layer])[layer]
    alive = [unit for unit in before.ranking.tolist() if not before.is_dead[unit]]
    units = alive[:: max(len(alive) // KILLED, 1)][:KILLED]
    norm = dict(model.named_modules()).get(layer.replace("conv", "bn"))
    killed = norm if norm is not None else model.get_submodule(layer)
    killed.bias[units] = -1e4  # type: ignore[index, operator]
    after: NodeImportance = node_importance(model, images, [layer])
    ranking = after[layer].ranking.tolist()
    dead = set(after[layer].is_dead.nonzero()[:, 0].tolist())
    return [ranking.index(unit) + 1 for unit in units if unit in dead]


def _in_words(ranks: list[int]) -> str:
    return ", ".join(map(str, sorted(ranks))) or "–"
