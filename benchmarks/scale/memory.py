"""Memory of an observation beside a training step's, and of the passes that find layers and outputs beside a forward.

Bytes are those of torch's allocator above what was allocated before, see `allocations`; they are exact and the same in
every run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from benchmarks.scale.allocations import mebibytes, parameter_bytes, peak_bytes
from lightning_factorlens import FactorLens
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.probe import Probe

#: Images of the loader's batches, and their height and width.
BATCH, SIDE = 2, 128
#: Images in the passes that find the layers.
TRACED = 4


class UNet(nn.Module):
    """A small U-Net of four resolutions, 1.9 million parameters."""

    def __init__(self, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(map(_block, [3, *widths], widths))
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for inner, outer in zip(widths[:0:-1], widths[-2::-1]):
            self.up.append(nn.ConvTranspose2d(inner, outer, 2, 2))
            self.merge.append(_block(2 * outer, outer))
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of two classes at every pixel, shape (N, 2, H, W)."""
        skips = []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([up(x), skips.pop()], 1))
        scores: Tensor = self.head(x)
        return scores


def _block(inner: int, outer: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inner, outer):
        layers += [nn.Conv2d(channels, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def measure(_: Path, quick: bool) -> Measured:
    """Measures a U-Net with a probe of 256 images and ViT-B/16; with ``quick`` 32 images and a ViT of two layers."""
    rows, observation = _measure_observation(32 if quick else 256)
    traced_rows, dry = _measure_dry_pass(2 if quick else 12)
    table = markdown_table(["model", "call", "peak, MiB", "beside"], [*rows, *traced_rows])
    text = (
        "## Memory\n\n`python -m benchmarks.scale --parts memory`. Bytes of torch's allocator on the CPU above those "
        f"before the call. U-Net at {SIDE}², loader's batch {BATCH}, defaults; the copy of the weights that an "
        f"observation restores them from is part of its peak. Transformer: {TRACED} images at 224²; the same copy, "
        "made once before both passes, is not part of them.\n\n" + table
    )
    figures = [
        Figure("memory_observation_over_training_step", observation, 1.2, at_most=True),
        Figure("memory_dry_pass_over_forward", dry, 1.1, at_most=True),
    ]
    return Measured(text, {"rows": rows + traced_rows}, figures)


def _measure_observation(n_images: int) -> tuple[list[list[str]], float]:
    """Rows of the table, and the peak of an observation over that of a training step."""
    torch.manual_seed(0)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters())
    images = torch.rand(BATCH, 3, SIDE, SIDE)
    classes = torch.randint(0, 2, (BATCH, SIDE, SIDE))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), classes).backward()
        optimizer.step()

    step()  # the optimizer's state exists from here on
    training = peak_bytes(step)[0]
    batches = [DrawnBatch(torch.rand(BATCH, 3, SIDE, SIDE), BATCH) for _ in range(n_images // BATCH)]
    probe = Probe.from_batches(batches, n_images)
    lens = FactorLens(model)
    calls: dict[str, Callable[[], Any]] = {
        "selection of the layers": lambda: lens.select_layers(probe),
        "first observation": lambda: lens.observe(probe),
        "second observation": lambda: lens.observe(probe),
    }
    rows = [["U-Net", "training step", mebibytes(training), "1.00"]]
    peaks = []
    for name, call in calls.items():
        peaks.append(peak_bytes(call)[0])
        rows.append(["U-Net", f"{name}, {n_images} images", mebibytes(peaks[-1]), f"{peaks[-1] / training:.2f}"])
    return rows, max(peaks) / training


def _measure_dry_pass(n_layers: int) -> tuple[list[list[str]], float]:
    """Rows of the table, and the peak of the dearest dry pass over that of a forward pass of as many images."""
    model = torchvision.models.VisionTransformer(224, 16, n_layers, 12, 768, 3072).eval()
    images = torch.rand(TRACED, 3, 224, 224)
    probe = Probe.wrap(images)
    lens = FactorLens(model)

    def forward() -> None:
        with torch.no_grad():
            model(images)

    forward()
    plain = peak_bytes(forward)[0]
    weights = parameter_bytes(model)
    selection = peak_bytes(lambda: lens.select_layers(probe))[0] - weights
    rows = [["ViT-B/16", "forward pass", mebibytes(plain), "1.00"]]
    rows.append(["ViT-B/16", "selection of layers and outputs", mebibytes(selection), f"{selection / plain:.2f}"])
    rows.append(["ViT-B/16", "copy of the weights", mebibytes(weights), f"{weights / plain:.2f}"])
    return rows, selection / plain
