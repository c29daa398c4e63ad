"""What may be done to the probe, or to the model, before its predictions are compared: objects, so that sets are lists.

No transform is right everywhere: over this project's runs small shifts followed the test loss, flips and noise did not,
and shifts of another size misled. Whoever computes a consistency names the set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_choice
from lightning_factorlens.capture.activations import capture_activations
from lightning_factorlens.capture.isolation import isolate_model


class Transform:
    """Changes images, or for the length of a context the model; this one changes nothing."""

    def images(self, images: Tensor) -> Tensor:
        """The transformed probe, of the probe's shape (N, C, H, W); the probe itself is left alone."""
        return images

    def model(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Inside, the model is disturbed; outside, it is bit for bit what it was."""
        return nullcontext()


@dataclass(frozen=True)
class Translate(Transform):
    """Moves every image down and to the right, by parts of a pixel too (bilinear).

    Attributes:
        down: Pixels; negative for up.
        right: Pixels; negative for left.
        fill: What comes in at the border: ``"wrap"`` (the other side), ``"edge"`` (the border again) or ``"zero"``.
    """

    down: float
    right: float
    fill: str = "wrap"

    def __post_init__(self) -> None:
        check_choice("fill", self.fill, ("wrap", "edge", "zero"))

    def images(self, images: Tensor) -> Tensor:
        """The shifted probe."""
        return self._along(self._along(images, self.down, -2), self.right, -1)

    def _along(self, images: Tensor, distance: float, axis: int) -> Tensor:
        whole = math.floor(distance)
        part = distance - whole
        near = self._roll(images, whole, axis)
        return near if not part else torch.lerp(near, self._roll(images, whole + 1, axis), part)

    def _roll(self, images: Tensor, pixels: int, axis: int) -> Tensor:
        size = images.shape[axis]
        if self.fill == "wrap" or pixels == 0:
            return torch.roll(images, pixels, axis)
        source = torch.arange(size, device=images.device) - pixels
        moved = images.index_select(axis, source.clamp(0, size - 1))
        if self.fill == "edge":
            return moved
        inside = ((source >= 0) & (source < size)).to(images.dtype)
        return moved * (inside[:, None] if axis == -2 else inside)


@dataclass(frozen=True)
class HorizontalFlip(Transform):
    """Mirrors left and right; only where a mirrored image is of the same class."""

    def images(self, images: Tensor) -> Tensor:
        """The mirrored probe."""
        return images.flip(-1)


@dataclass(frozen=True)
class GaussianNoise(Transform):
    """Adds Gaussian noise, the same at every look.

    Attributes:
        std: Standard deviation, as a share of the probe's own.
        seed: Of the draw.
    """

    std: float
    seed: int = 0

    def images(self, images: Tensor) -> Tensor:
        """The noisy probe."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(images.shape, generator=generator).to(images)
        return images + self.std * images.std() * noise


@dataclass(frozen=True)
class InputDropout(Transform):
    """Drops inputs of every linear layer, whether or not the model was trained so.

    Attributes:
        p: Share of the inputs that become zero; the rest grows by 1 / (1 − p).
        seed: Of the draw, which is the same at every look.
    """

    p: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p: must be at least 0 and below 1, found {self.p!r}.")

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """Inside, the linear layers see part of their inputs.

        Raises:
            ValueError: The model has no linear layer.
        """
        layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
        if not layers:
            raise ValueError(
                "Dropout: the model has no nn.Linear whose inputs could be dropped; take another transform."
            )
        generator = torch.Generator().manual_seed(self.seed)

        def drop(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            kept = torch.rand(inputs[0].shape, generator=generator) >= self.p
            return (inputs[0] * kept.to(inputs[0]) / (1 - self.p), *inputs[1:])

        hooks = [layer.register_forward_pre_hook(drop) for layer in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@dataclass(frozen=True)
class WeightNoise(Transform):
    """Adds Gaussian noise to every weight and bias, the same directions at every look.

    Attributes:
        std: Standard deviation, as a share of each parameter's own root mean square.
        seed: Of the draw.
    """

    std: float
    seed: int = 0

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """Inside, the weights are noisy."""
        generator = torch.Generator().manual_seed(self.seed)
        parameters = list(model.parameters())
        kept = [p.detach().clone() for p in parameters]
        try:
            with torch.no_grad():
                for p in parameters:
                    noise = torch.randn(p.shape, generator=generator).to(p)
                    p.add_(self.std * p.square().mean().sqrt() * noise)
            yield
        finally:
            with torch.no_grad():
                for p, value in zip(parameters, kept):
                    p.copy_(value)


def diagonal_shifts(pixels: float) -> list[Transform]:
    """Both ways along one diagonal: the two transforms of the project's first study."""
    return [Translate(pixels, pixels), Translate(-pixels, -pixels)]


def grid_shifts(pixels: float) -> list[Transform]:
    """Along both axes and both diagonals: eight transforms."""
    steps = (-pixels, 0, pixels)
    return [Translate(down, right) for down in steps for right in steps if down or right]


def transformed_outputs(
    model: nn.Module,
    images: Tensor,
    transforms: Sequence[Transform],
    forward: Callable[[Tensor], Any] | None = None,
) -> list[Tensor]:
    """The model's outputs under each transform; the model is left exactly as found.

    Args:
        model: Runs in eval mode without gradients.
        images: The probe, shape (N, C, H, W).
        transforms: One pass of the probe each; ``Transform()`` gives the plain outputs.
        forward: How to call the model; itself unless given.

    Returns:
        One tensor a transform, shape (N, K).

    Raises:
        ValueError: The model's output holds no (N, K) numbers.
    """
    found = []
    for transform in transforms:
        with isolate_model(model), transform.model(model):
            outputs = capture_activations(model, forward or model, transform.images(images), ()).outputs
        if outputs is None:
            raise ValueError("model: found no (N, K) tensor in its output, so there are no predictions to compare.")
        found.append(outputs)
    return found
