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
from benchmarks.scale.pass_parts import PARTS, forward, pass_parts, reused_pass
from lightning_factorlens import FactorLens

#: Size of the default probe.
DEFAULT_SIZE = 256
#: Phases of an observation that take time in proportion to the probe; the table adds up the other measurements.
PASSES = ("capture", "consistency")
FIXED = ("factorization", "weight_spectra")
REUSE_TEXT = (
    "\n\nThe same where the user's validation, in batches as large as the probe allows, has just passed the probe. "
    "Reading: what the hooks and the fingerprints add to that validation. Difference: of an activation or class score "
    "from that of a pass of the lens's own, relative to the largest; 0 is needed for the default "
    "`reuse_validation=None`.\n\n"
)
REUSE_HEADER = ["model", "reading", "observation", "sum", f"sum, {DEFAULT_SIZE} images", "difference"]
PARTS_TEXT = (
    "\n\nWhere the time of the two passes goes, in forward passes in the loader's batches: a pass in the lens's own, "
    "smaller sizes; an isolation in which nothing happens; and what the hooks add to the first pass and the shifting "
    "to the second. Pages: of 4 KiB that the system clears during a pass, in thousands.\n\n"
)
PART_HEADER = ["lens's sizes", "isolation", "hooks", "shift", "pages, loader's batches", "pages, lens's sizes"]


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
    reuse_rows = []
    part_rows = []
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
        reused = _reused_at_default_size(found, network.n_images)
        values = [f"{found[key]:.3f}" for key in ("reading", "reused observation", "reused total")]
        reuse_rows.append([network.title, *values, f"{reused:.3f}", f"{found['difference']:.1e}"])
        figures.append(Figure(f"passes_reuse_{name}", reused, 1.0, at_most=True))
        values = [f"{found[part]:.3f}" for part in PARTS]
        pages = [f"{found[key] / 1000:.0f}" for key in ("pages forward", "pages same size")]
        part_rows.append([network.title, *values, *pages])
    header = ["model", "probe", "forward pass", "probe's pass", "consistency", "factorisation", "spectra", "other"]
    text = (
        "## Passes\n\n`python -m benchmarks.scale --parts passes`. Processor time of a warm observation after a change "
        "of all weights, in forward passes of the probe that were made just before and after it in the same process; "
        "medians of three. `other`: isolation of the model and all further measurements. Last column: the same for "
        f"the default probe of {DEFAULT_SIZE} images, where what does not grow with the probe counts for less.\n\n"
        + markdown_table([*header, "total", f"total, {DEFAULT_SIZE} images"], rows)
        + REUSE_TEXT
        + markdown_table(REUSE_HEADER, reuse_rows)
        + PARTS_TEXT
        + markdown_table(["model", *PART_HEADER], part_rows)
    )
    return Measured(text, payload, figures)


def _measure_network(network: Network, repetitions: int) -> dict[str, float]:
    """Medians of the phases in forward passes, and the seconds of a forward pass."""
    torch.manual_seed(0)
    model = network.make().eval()
    images = torch.rand(network.n_images, 3, network.side, network.side)
    lens = FactorLens(model, outputs="classes")
    lens.state.budget.clock = time.process_time
    lens.observe(images)
    found: dict[str, list[float]] = {}
    for _ in range(repetitions):
        _change_weights(model)
        for name, value in {**_observed(lens, model, images), **_reused(lens, model, images)}.items():
            found.setdefault(name, []).append(value)
    return {**pass_parts(model, images, repetitions), **{name: median(values) for name, values in found.items()}}


def _observed(lens: FactorLens, model: nn.Module, images: Tensor) -> dict[str, float]:
    """An observation, with the same lens between two forward passes."""
    before = timed(lambda: forward(model, images))[0]
    seconds, observation = timed(lambda: lens.observe(images))
    after = timed(lambda: forward(model, images))[0]
    whole = (before + after) / 2
    phases = observation["cost"].seconds
    known = {phase: phases[phase] / whole for phase in (*PASSES, *FIXED)}
    total = seconds / whole
    return {**known, "other": total - sum(known.values()), "total": total, "forward_seconds": whole}


def _reused(lens: FactorLens, model: nn.Module, images: Tensor) -> dict[str, float]:
    """An observation that reads a validation pass, after another change of all weights."""
    _change_weights(model)
    return reused_pass(lens, model, images)


def _reused_at_default_size(found: dict[str, float], n_images: int) -> float:
    """The sum for a probe of `DEFAULT_SIZE`: the second pass grows with it, all else is taken as it is."""
    growing = found["consistency"]
    return growing + (found["reused total"] - growing) * n_images / DEFAULT_SIZE


def _at_default_size(found: dict[str, float], n_images: int) -> float:
    """The total for a probe of `DEFAULT_SIZE`: the passes grow with it, all else is taken as it is."""
    growing = sum(found[phase] for phase in PASSES)
    return growing + (found["total"] - growing) * n_images / DEFAULT_SIZE


@torch.no_grad()
def _change_weights(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter += 1e-3 * torch.randn_like(parameter)
