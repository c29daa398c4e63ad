"""Node health: planted units that are found, flags among the others, and what untrained networks have as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.concepts.spread import Spread
from benchmarks.networks import SEEDS, cifar_cnn, load_images, mnist_network
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.visualization import node_health
from lightning_factorlens.visualization.node_health import LEVEL, RATE

#: Images of the probe, and of a disjoint one.
IMAGES = 1000
#: Share of the images in which a unit that is planted as rare stays active.
RARE = 0.002
#: Kinds of planted units, and the verdicts by which they count as found.
KINDS = {
    "dead by its bias": ("dead",),
    "dead by its weights": ("dead",),
    "single pixel": ("single pixel",),
    "rare": ("dead", "rare"),
    "piece of an image": ("dead", "rare", "single pixel"),
}
#: The findings that a verdict may be.
FLAGS = ("dead", "rare", "single pixel")


@dataclass(frozen=True)
class Place:
    """A layer in which units are planted: a network, its convolution, and the activation behind it."""

    network: str
    make: Callable[..., nn.Module]
    conv: str
    relu: str


PLACES = (
    Place("mnist_network", mnist_network, "conv1", "relu1"),
    Place("mnist_network", mnist_network, "conv2", "relu2"),
    Place("cifar_cnn", cifar_cnn, "conv2", "relu2"),
    Place("cifar_cnn", cifar_cnn, "conv4", "relu4"),
)


class PlantedActivation(nn.Module):
    """A ReLU of which some units are made dead, rare or confined to their strongest pixel.

    Args:
        planted: The units of each kind.
        thresholds: Value above which the units that are planted as rare stay active.
    """

    def __init__(self, planted: dict[str, Tensor], thresholds: Tensor) -> None:
        super().__init__()
        self.planted = planted
        self.thresholds = thresholds

    def forward(self, x: Tensor) -> Tensor:
        """The changed activation."""
        y = x.relu()
        y[:, self.planted["dead by its bias"]] = 0.0
        rare = self.planted["rare"]
        y[:, rare] = (y[:, rare] - self.thresholds[:, None, None]).relu()
        single = self.planted["single pixel"]
        maps = y[:, single]
        y[:, single] = torch.where(maps == maps.amax((2, 3), keepdim=True), maps, 0.0)
        return y


def measure(data_dir: Path, quick: bool) -> Measured:
    """Plants units in layers of trained networks and tests them."""
    sections = []
    figures = []
    values = {}
    for place in PLACES:
        spread = Spread()
        for seed in range(1 if quick else SEEDS):
            spread.add(measure_place(place, seed, data_dir))
        key = f"{place.network}_{place.conv}"
        values[key] = spread.values
        sections.append([f"{place.network}, {place.conv}", *_cells(spread)])
        for name in ("dead", "single pixel"):
            power = _pooled(spread, name)
            figures.append(Figure(f"health_power_{key}_{name.replace(' ', '_')}", power, 0.95))
        figures.append(Figure(f"health_new_flags_{key}", _ratio(spread, "new flags", "unplanted"), 0.05, at_most=True))
        figures.append(Figure(f"health_recurring_{key}", _ratio(spread, "recurring", "flagged"), 0.95))
    header = ["layer", *KINDS, "flags among the others", "of these new", "found again by another probe"]
    seeds = 1 if quick else SEEDS
    text = (
        f"## Node health\n\n`python -m benchmarks.visualization --parts health`. {seeds} training seeds, {IMAGES} test "
        f"images, rate {RATE:g}, level {LEVEL:g}; found of planted. The others are the units that were not planted; "
        "new are those that the network without planted units is not found to have. Dead by its weights: filter and "
        "bias are zero. A piece of an image: the filter is a normalised piece of one training image, which is what "
        f"memorisation would look like. {_pieces(values)}\n\n"
    )
    section = f"{text}{markdown_table(header, sections)}\n\n{_untrained(data_dir, seeds)}"
    return Measured(section, {"values": values}, figures)


def measure_place(place: Place, seed: int, data_dir: Path) -> dict[str, float]:
    """Numbers of planted units and of flags in one layer of one network."""
    images = load_images(place.network, data_dir)
    probe, disjoint = images.test[:IMAGES], images.test[IMAGES : 2 * IMAGES]
    healthy = node_health(place.make(seed), probe, [place.relu])[place.relu]
    model = place.make(seed)
    planted = plant(model, place, images.train, seed)
    found = node_health(model, probe, [place.relu])[place.relu]
    again = node_health(model, disjoint, [place.relu])[place.relu]
    counts: dict[str, float] = {}
    for kind, verdicts in KINDS.items():
        units = planted[kind].tolist()
        counts[kind] = sum(found.verdicts[unit] in verdicts for unit in units)
        counts[f"{kind} planted"] = len(units)
    taken = set(torch.cat(list(planted.values())).tolist())
    others = set(range(len(found.verdicts))) - taken
    flagged = others & set(found.units(*FLAGS))
    counts["unplanted"] = len(others)
    counts["flagged"] = len(flagged)
    counts["new flags"] = len(flagged - set(healthy.units(*FLAGS)))
    counts["recurring"] = len(flagged & set(again.units(*FLAGS)))
    return counts


def plant(model: nn.Module, place: Place, train: Tensor, seed: int) -> dict[str, Tensor]:
    """Plants units of all kinds among those that are active; returns the units of each kind."""
    conv = model.get_submodule(place.conv)
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        maps = _output_of(model, place.relu, train[:2000])
    alive = (maps.amax((2, 3)) > 0).float().mean(0) > 0.2
    units = alive.nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    units = units[torch.randperm(len(units), generator=generator)]
    size = max(min(conv.out_channels // 8, len(units) // 8), 1)
    planted = dict(zip(KINDS, units[: size * len(KINDS)].split(size)))
    strongest = maps.amax((2, 3))[:, planted["rare"]]
    model.set_submodule(place.relu, PlantedActivation(planted, strongest.quantile(1 - RARE, dim=0)))
    with torch.no_grad():
        zeroed = planted["dead by its weights"]
        conv.weight[zeroed] = 0.0
        _silence(model, place, zeroed)
        inputs = _input_of(model, place.conv, train[:64])
        for unit in planted["piece of an image"].tolist():
            conv.weight[unit] = _piece(inputs, conv, generator)
    return planted


def _silence(model: nn.Module, place: Place, units: Tensor) -> None:
    """Sets the biases of units to zero, those of a batch norm included."""
    norm = dict(model.named_modules()).get(place.conv.replace("conv", "bn"))
    for layer in (model.get_submodule(place.conv), norm):
        if layer is not None and isinstance(layer.bias, Tensor):
            layer.bias[units] = 0.0
    if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
        norm.running_mean[units] = 0.0


def _piece(inputs: Tensor, conv: nn.Conv2d, generator: torch.Generator) -> Tensor:
    """A piece of one image's input of a convolution, of the size and the norm of its filters and with mean zero."""
    height, width = conv.kernel_size
    image = int(torch.randint(len(inputs), (), generator=generator))
    y = int(torch.randint(inputs.shape[2] - height, (), generator=generator))
    x = int(torch.randint(inputs.shape[3] - width, (), generator=generator))
    piece = inputs[image, :, y : y + height, x : x + width]
    piece = piece - piece.mean()
    norm = conv.weight.flatten(1).norm(dim=1).median()
    return piece / piece.norm().clamp_min(1e-6) * norm


def _output_of(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: outputs.append(output.detach()))
    model(images)
    handle.remove()
    return outputs[0]


def _input_of(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    inputs: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_pre_hook(lambda _m, args: inputs.append(args[0].detach()))
    model(images)
    handle.remove()
    return inputs[0]


def _pieces(values: dict[str, dict[str, list[float]]]) -> str:
    """How many of the units with a piece of an image are flagged, in words."""
    kind = "piece of an image"
    n_planted = sum(sum(counts[f"{kind} planted"]) for counts in values.values())
    n_flagged = sum(sum(counts[kind]) for counts in values.values())
    return (
        f"The tests are not made for it, and flag {n_flagged:.0f} of {n_planted:.0f} such units: those that happen to "
        "be rarely active or active in single pixels."
    )


def _cells(spread: Spread) -> list[str]:
    cells = []
    for kind in KINDS:
        cells.append(f"{sum(spread.values[kind]):.0f}/{sum(spread.values[f'{kind} planted']):.0f}")
    flagged, new = sum(spread.values["flagged"]), sum(spread.values["new flags"])
    cells.append(f"{flagged:.0f}/{sum(spread.values['unplanted']):.0f}")
    return [*cells, f"{new:.0f}", f"{sum(spread.values['recurring']):.0f}/{flagged:.0f}"]


def _pooled(spread: Spread, name: str) -> float:
    """Share of the planted units of the kinds whose names begin so that were found."""
    kinds = [kind for kind in KINDS if kind.startswith(name)]
    planted = sum(sum(spread.values[f"{kind} planted"]) for kind in kinds)
    return sum(sum(spread.values[kind]) for kind in kinds) / planted


def _ratio(spread: Spread, part: str, whole: str) -> float:
    """One sum over the seeds divided by another; 1 where both are 0."""
    total = sum(spread.values[whole])
    return sum(spread.values[part]) / total if total else float(part == "recurring")


def _untrained(data_dir: Path, seeds: int) -> str:
    """The findings of trained networks beside those of the untrained ones, summed over the seeds."""
    rows = []
    for name, make in (("mnist_network", mnist_network), ("cifar_cnn", cifar_cnn)):
        probe = load_images(name, data_dir).test[:IMAGES]
        totals: dict[str, list[int]] = {}
        for seed in range(seeds):
            trained, untrained = node_health(make(seed), probe), node_health(make(seed, trained=False), probe)
            for layer in trained.layers:
                counts = [len(trained[layer].verdicts)]
                for result in (trained, untrained):
                    counts += [len(result[layer].units(flag)) for flag in FLAGS]
                totals[layer] = [a + b for a, b in zip(totals.get(layer, [0] * len(counts)), counts)]
        rows += [[f"{name}, {layer}", *map(str, counts)] for layer, counts in totals.items()]
    header = ["layer", "units", *FLAGS, *(f"untrained {flag}" for flag in FLAGS)]
    return "The networks as they are, summed over the seeds:\n\n" + markdown_table(header, rows)
