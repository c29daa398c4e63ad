"""Processor time of pictures of 64 singular vectors: in one batch, one by one, and by lucent.

lucent (``pip install torch-lucent kornia``) is the peer; where it is not installed, its loop is written here from its
source: the same optimiser and steps, a hook on every module, the whole forward pass, and gradients of all parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks import cifar_cnn, load_images, mnist_network
from benchmarks.part import Measured, interleaved_medians
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.linalg.singular_vectors import singular_vectors
from lightning_factorlens.linalg.unfolding import unfold_weight
from lightning_factorlens.visualization import Settings, leading_vectors, visualize

VECTORS = 64
STEPS = 32
#: Network, its data set's name, and the layer with 64 singular vectors.
CASES = {
    "MNIST, conv2": (mnist_network, "mnist_network", "conv2"),
    "CIFAR-10, conv4": (cifar_cnn, "cifar_cnn", "conv4"),
}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Ratios of processor time, each from calls that take turns."""
    rows = []
    payload: dict[str, Any] = {}
    figures = []
    for name, (make, network, layer) in CASES.items():
        images = load_images(network, data_dir).test[:64]
        seconds, n_passed = _seconds(make(0, data_dir=data_dir), images, layer, 1 if quick else 3)
        step = seconds["batch"] / (VECTORS * STEPS)
        ratios = {key: seconds[key] / seconds["batch"] for key in ("one by one", "lucent one by one", "lucent summed")}
        passes = step / seconds["one image"]
        rows.append((name, f"{seconds['batch']:.2f}", *(f"{ratio:.1f}" for ratio in ratios.values()), f"{passes:.2f}"))
        payload[name] = {"seconds": seconds, "passes_of_a_picture_and_step": n_passed / (VECTORS * STEPS)}
        if name.startswith("MNIST"):
            figures = [
                Figure("speed_batch_over_loop", ratios["one by one"], 2.0),
                Figure("speed_batch_over_lucent", ratios["lucent one by one"], 4.0),
                Figure("speed_batch_over_lucent_summed", ratios["lucent summed"], 2.0),
                Figure("speed_passes_a_vector_and_step", passes, 2.0, at_most=True),
            ]
    header = ("layer", "seconds", "loop ÷ batch", "lucent ÷ batch", "lucent summed ÷ batch", "one-image passes")
    peer = "lucent 0.1.8" if _has_lucent() else "lucent's loop, written from its source, because it is not installed"
    section = f"""## Speed

`python -m benchmarks.visualization --parts speed`. {VECTORS} singular vectors, {STEPS} steps, the images' own size,
pixels without random transformations, one thread, processor seconds. The loop is the same call with
`Settings(max_batch=1)`; the seconds are those of a whole call, with a probe of 64 images. Peer: {peer}, one vector at a
time, and all vectors as a sum of objectives in one batch. Last column: time for a vector and step over a forward pass
of one image; each picture passes {n_passed / (VECTORS * STEPS):.2f} times through the model in a step.

{markdown_table(header, rows)}
"""
    return Measured(section, payload, figures)


def _seconds(model: nn.Module, images: Tensor, layer: str, repetitions: int) -> tuple[dict[str, float], int]:
    """Median processor seconds of each way, and the images that pass through the model in one batch."""
    objectives = leading_vectors(model, layer, VECTORS)

    def ours(max_batch: int) -> Callable[[], Any]:
        settings = Settings(steps=STEPS, tolerance=0, max_batch=max_batch)
        return lambda: visualize(model, images, objectives, settings)

    directions = _directions(model, layer)
    peer = _lucent if _has_lucent() else _written_peer
    peer_model = copy.deepcopy(model)
    ways = {
        "batch": ours(VECTORS),
        "one by one": ours(1),
        "lucent one by one": lambda: [peer(peer_model, layer, one[None], images.shape[1:]) for one in directions],
        "lucent summed": lambda: peer(peer_model, layer, directions, images.shape[1:]),
        "one image": lambda: [_forward(model, images[:1]) for _ in range(200)],
    }
    seconds = interleaved_medians(ways, repetitions)
    seconds["one image"] /= 200
    return seconds, visualize(model, images, objectives, Settings(steps=STEPS, tolerance=0)).n_passed


@torch.no_grad()
def _forward(model: nn.Module, images: Tensor) -> Tensor:
    output: Tensor = model(images)
    return output


def _directions(model: nn.Module, layer: str) -> Tensor:
    """Left singular vectors of the layer, shape (vectors, channels)."""
    (found,) = [one for one in linear_layers(model) if one.name == layer]
    return singular_vectors(unfold_weight(found.weight.weight)).U[0].T[:VECTORS].float()


def _has_lucent() -> bool:
    try:
        from lucent.optvis import render  # noqa: F401
    except ImportError:
        return False
    return True


def _lucent(model: nn.Module, layer: str, directions: Tensor, shape: torch.Size) -> Any:
    """The pictures of several directions by lucent, as a sum of objectives, each for one image of the batch."""
    from lucent.optvis import objectives, param, render

    hooks = {module: dict(module._forward_hooks) for module in model.modules()}
    parts = [objectives.channel_weight(layer, one, batch=index) for index, one in enumerate(directions)]
    channels, height, width = shape
    try:
        return render.render_vis(
            model,
            objectives.Objective.sum(parts),
            lambda: param.image(width, height, batch=len(directions), channels=channels, fft=False),
            transforms=[],
            preprocess=False,
            fixed_image_size=(height, width),
            thresholds=(STEPS,),
            progress=False,
            show_image=False,
        )
    finally:
        for module, found in hooks.items():  # lucent leaves its hooks behind
            module._forward_hooks.clear()
            module._forward_hooks.update(found)


def _written_peer(model: nn.Module, layer: str, directions: Tensor, shape: torch.Size) -> Tensor:
    """The loop of lucent from its source."""
    features: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, _args: Any, output: Tensor) -> None:
            features[name] = output

        return keep

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules()]
    parameters = (torch.randn(len(directions), *shape) * 0.01).requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=0.05)
    for _ in range(STEPS):
        optimizer.zero_grad()
        pictures = nn.functional.interpolate(parameters.sigmoid(), shape[1:], mode="bilinear", align_corners=True)
        model(pictures)
        loss = torch.zeros(())
        for index, one in enumerate(directions):
            loss = loss - (features[layer][index : index + 1] * one.view(1, -1, 1, 1)).mean()
        loss.backward()
        optimizer.step()
    for handle in handles:
        handle.remove()
    return parameters.detach().sigmoid()
