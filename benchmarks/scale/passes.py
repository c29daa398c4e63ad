"""Where an observation's processor time goes, in forward passes of its probe, for three networks at the defaults."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens import FactorLens
from lightning_factorlens.batches.probe import Probe

#: Size of the default probe.
DEFAULT_SIZE = 256
#: Phases of an observation that take time in proportion to the probe; the table adds up the other measurements.
PASSES = ("capture", "consistency")
FIXED = ("factorization", "weight_spectra")


@dataclass(frozen=True)
class Network:
    """A network and its probe.

    Attributes:
        title: Its name in the table.
        make: Makes it.
        n_images: Images of the probe.
        side: Their height and width.
    """

    title: str
    make: Callable[[], nn.Module]
    n_images: int
    side: int


def cifar_resnet18() -> nn.Module:
    """A ResNet-18 with the stem for images of 32 × 32 pixels."""
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()  # type: ignore[assignment]
    return model


NETWORKS = {
    "resnet18": Network("ResNet-18, CIFAR stem", cifar_resnet18, 256, 32),
    "resnet50": Network("ResNet-50", torchvision.models.resnet50, 16, 224),
    "vit_b_16": Network("ViT-B/16", torchvision.models.vit_b_16, 16, 224),
}


def measure(_: Path, quick: bool) -> Measured:
    """Measures three warm observations of each network with changed weights; with ``quick`` one of ResNet-18."""
    rows = []
    figures = []
    payload = {}
    for name in ["resnet18"] if quick else list(NETWORKS):
        network = NETWORKS[name]
        found = _measure_network(network, 1 if quick else 3)
        payload[name] = found
        at_default = _at_default_size(found, network.n_images)
        row = [network.title, f"{network.n_images} × {network.side}²", f"{found['forward_seconds']:.2f} s"]
        for phase in (*PASSES, *FIXED, "other", "total"):
            row.append(f"{found[phase]:.3f}")
        rows.append([*row, f"{at_default:.3f}"])
        figures.append(Figure(f"passes_{name}", at_default, 2.05, at_most=True))
    header = ["model", "probe", "forward pass", "probe's pass", "consistency", "factorisation", "spectra", "other"]
    text = (
        "## Passes\n\n`python -m benchmarks.scale --parts passes`. Processor time of a warm observation after a change "
        "of all weights, in forward passes of the probe that were made just before and after it in the same process; "
        "medians of three. `other`: isolation of the model and all further measurements. Last column: the same for "
        f"the default probe of {DEFAULT_SIZE} images, where what does not grow with the probe counts for less.\n\n"
        + markdown_table([*header, "total", f"total, {DEFAULT_SIZE} images"], rows)
    )
    return Measured(text, payload, figures)


def _measure_network(network: Network, repetitions: int) -> dict[str, float]:
    """Medians of the phases in forward passes, and the seconds of a forward pass."""
    torch.manual_seed(0)
    model = network.make().eval()
    images = torch.rand(network.n_images, 3, network.side, network.side)
    probe = Probe.wrap(images)
    lens = FactorLens(model, outputs="classes")
    lens.state.budget.clock = time.process_time
    lens.observe(probe)
    found: dict[str, list[float]] = {}
    for _ in range(repetitions):
        _change_weights(model)
        before = timed(lambda: _forward(model, probe))[0]
        seconds, observation = timed(lambda: lens.observe(probe))
        after = timed(lambda: _forward(model, probe))[0]
        forward = (before + after) / 2
        phases = observation["cost"].seconds
        known = {phase: phases[phase] / forward for phase in (*PASSES, *FIXED)}
        total = seconds / forward
        measured = {**known, "other": total - sum(known.values()), "total": total, "forward_seconds": forward}
        for phase, value in measured.items():
            found.setdefault(phase, []).append(value)
    return {phase: median(values) for phase, values in found.items()}


def _at_default_size(found: dict[str, float], n_images: int) -> float:
    """The total for a probe of `DEFAULT_SIZE`: the passes grow with it, all else is taken as it is."""
    growing = sum(found[phase] for phase in PASSES)
    return growing + (found["total"] - growing) * n_images / DEFAULT_SIZE


@torch.no_grad()
def _change_weights(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter += 1e-3 * torch.randn_like(parameter)


def _forward(model: nn.Module, probe: Probe) -> list[Tensor]:
    with torch.no_grad():
        return [model(part.data) for part in probe.batches()]
