"""What signals cost beside a forward pass, in processor time and memory, and whether all routes give the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.hierarchy.looped_fields import looped_fields, unfolded
from benchmarks.part import Measured, interleaved_medians, timed
from benchmarks.reporting import Figure, markdown_table, subprocess_environment
from lightning_factorlens.capture import isolate_model
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.hierarchy import VectorCache, layer_signals
from lightning_factorlens.results import ProbeSignals

N_IMAGES = 1000
PASS = 128
#: Images of the looped formula.
N_LOOPED = 16
#: Prints the growth of the peak memory by the signals, in bytes.
MEMORY = """
import resource, sys, torch
from benchmarks.hierarchy.cost import forward, make_images, make_network
from lightning_factorlens.hierarchy import layer_signals
model, images = make_network(sys.argv[1]), make_images(int(sys.argv[2]))
forward(model, images)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layer_signals(model, images)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures ResNet-18 with both stems; weights and images are random."""
    n_images = 256 if quick else N_IMAGES
    rows = []
    payload: dict[str, Any] = {}
    for stem in ("cifar", "imagenet"):
        found = _measure(stem, n_images, repetitions=2 if stem == "cifar" else 7)
        payload[stem] = found
        seconds = found["seconds"]
        cells = [f"{seconds[name] / seconds['isolated']:.2f}" for name in ("forward", "output", "field")]
        memory = f"{found['memory'] / 2**20:.0f} of {found['unfolded_bytes'] / 2**20:.0f} MiB"
        rows.append((stem, f"{seconds['isolated']:.2f}", *cells, f"{found['cold']:.2f}", memory))
    text = (
        f"## Cost\n\n`python -m benchmarks.hierarchy --parts cost`. ResNet-18, {n_images} images of 32 × 32 in passes "
        f"of {PASS}, all {len(linear_layers(make_network('cifar')))} layers; processor seconds, and multiples of the "
        "isolated forward pass, which every measurement of the package makes. Stems: 3 × 3 without pooling (cifar), "
        "and that of torchvision (imagenet), under which the last maps have one pixel. Decomposition: seconds for all "
        "weights, once for unchanged weights. Memory: growth of the process's peak by signals and decomposition after "
        "a forward pass, of what Ψ of the largest layer takes for all images.\n\n"
        + markdown_table(
            ("stem", "isolated pass, s", "plain pass", "signals", "by mean fields", "decomposition, s", "memory"), rows
        )
        + "\n\nLargest difference from the looped formula, relative to the largest signal: "
        f"{max(found['error_output'] for found in payload.values()):.1e} from outputs, "
        f"{max(found['error_field'] for found in payload.values()):.1e} from mean fields."
    )
    overheads = {stem: found["seconds"]["output"] / found["seconds"]["isolated"] - 1 for stem, found in payload.items()}
    worst = max(max(found["error_output"], found["error_field"]) for found in payload.values())
    memory = payload["cifar"]["memory"] / payload["cifar"]["unfolded_bytes"]
    figures = [
        Figure("hierarchy_signals_over_forward_pass", overheads["cifar"], 0.2, at_most=True),
        Figure("hierarchy_signals_over_forward_pass_imagenet_stem", overheads["imagenet"], 0.2, at_most=True),
        Figure("hierarchy_signals_memory_over_unfolding", memory, 0.1, at_most=True),
        Figure("hierarchy_signals_error_of_both_routes", worst, 1e-5, at_most=True),
    ]
    return Measured(text, payload, figures)


def make_network(stem: str) -> nn.Module:
    """ResNet-18 of torchvision with random weights, in eval mode, with its own stem or that for small images."""
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    if stem == "cifar":
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    network: nn.Module = model.eval()
    return network


def make_images(n_images: int) -> Tensor:
    """Random images."""
    return torch.randn(n_images, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def forward(model: nn.Module, images: Tensor) -> None:
    """A forward pass in the passes of the package."""
    for part in images.split(PASS):
        model(part)


def _measure(stem: str, n_images: int, repetitions: int) -> dict[str, Any]:
    model = make_network(stem)
    images = make_images(n_images)
    cache = VectorCache()
    cold = timed(lambda: [cache.vectors(layer) for layer in linear_layers(model)])[0]

    def isolated() -> None:
        with isolate_model(model):
            forward(model, images)

    forward(model, images[:PASS])
    seconds = interleaved_medians(
        {
            "forward": lambda: forward(model, images),
            "isolated": isolated,
            "output": lambda: layer_signals(model, images, cache=cache),
            "field": lambda: layer_signals(model, images, cache=cache, route="field"),
        },
        repetitions,
    )
    few = images[:N_LOOPED]
    expected, unfolded_bytes = _looped_signals(model, few, cache)
    command = [sys.executable, "-c", MEMORY, stem, str(n_images)]
    memory = subprocess.run(command, capture_output=True, text=True, check=True, env=subprocess_environment(1)).stdout
    return {
        "seconds": seconds,
        "cold": cold,
        "error_output": _error(layer_signals(model, few, cache=cache), expected),
        "error_field": _error(layer_signals(model, few, cache=cache, route="field"), expected),
        "unfolded_bytes": unfolded_bytes * n_images,
        "memory": int(memory),
    }


@torch.no_grad()
def _looped_signals(model: nn.Module, images: Tensor, cache: VectorCache) -> tuple[dict[str, Tensor], int]:
    """The mean of s_i ⟨v_i, field⟩ over a loop of receptive fields in float64, and the largest size of Ψ of an image.

    The model runs in float32, and every layer receives what it receives there.
    """
    signals: dict[str, Tensor] = {}
    sizes = []
    handles = []
    for layer in linear_layers(model):
        vectors = cache.vectors(layer)

        def hook(module: nn.Module, args: Any, output: Tensor, name: str = layer.name, vectors: Any = vectors) -> None:
            """Computes the signals of one layer."""
            grid = tuple(output.shape[2:]) if output.ndim > 2 else ()
            fields = looped_fields(module, args[0].double(), grid)
            sizes.append(fields[0].numel() * 4)
            S_Vt = vectors.all.U.mT @ unfolded(module)
            signals[name] = (S_Vt @ fields).mean(3)[:, vectors.is_kept]

        handles.append(layer.module.register_forward_hook(hook))
    model(images)
    for handle in handles:
        handle.remove()
    return signals, max(sizes)


def _error(found: ProbeSignals, expected: dict[str, Tensor]) -> float:
    """Largest difference of a layer relative to its largest signal."""
    errors = []
    for name, signals in expected.items():
        errors.append(float((found[name].values - signals).abs().max() / signals.abs().max()))
    return max(errors)
