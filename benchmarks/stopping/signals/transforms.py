"""Transforms of the probe images, or of the model, before predictions are compared.

No transform is right for all data: over the runs of this study consistency under small shifts followed the test loss,
while flips, noise and shifts of other sizes did not.
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
from lightning_factorlens.isolation.isolation import isolate_model


class Transform:
    """Base class: changes the images, or the model within a context. This class itself changes nothing."""

    def images(self, images: Tensor) -> Tensor:
        """The transformed images, shape (N, C, H, W) as the images; the images themselves are not modified."""
        return images

    def model(self, model: nn.Module) -> AbstractContextManager[Any]:
        """A context in which the model is disturbed; after it, the model is bit for bit what it was before."""
        return nullcontext()


@dataclass(frozen=True)
class Translate(Transform):
    """Shifts every image down and to the right; fractions of a pixel are interpolated bilinearly.

    Attributes:
        down: Pixels; negative for up.
        right: Pixels; negative for left.
        fill: What fills the border: ``"wrap"`` (the opposite side), ``"edge"`` (the border repeated) or ``"zero"``.
    """

    down: float
    right: float
    fill: str = "wrap"

    def __post_init__(self) -> None:
        check_choice("fill", self.fill, ("wrap", "edge", "zero"))

    def images(self, images: Tensor) -> Tensor:
        """The shifted images."""
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
    """Mirrors images horizontally; suited only to data where a mirrored image has the same class."""

    def images(self, images: Tensor) -> Tensor:
        """The mirrored images."""
        return images.flip(-1)


@dataclass(frozen=True)
class GaussianNoise(Transform):
    """Adds Gaussian noise, the same at every call.

    Attributes:
        std: Standard deviation, as a fraction of the standard deviation of the images.
        seed: Seed of the noise.
    """

    std: float
    seed: int = 0

    def images(self, images: Tensor) -> Tensor:
        """The noisy images."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(images.shape, generator=generator).to(images)
        return images + self.std * images.std() * noise


@dataclass(frozen=True)
class InputDropout(Transform):
    """Applies dropout to the inputs of every linear layer, whether or not the model was trained with dropout.

    Attributes:
        p: Probability that an input is set to zero; the other inputs are multiplied by 1 / (1 − p).
        seed: Seed of the masks, which are the same at every call.
    """

    p: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p: must be at least 0 and below 1, found {self.p!r}.")

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """A context in which the linear layers get part of their inputs.

        Raises:
            ValueError: The model has no linear layer.
        """
        layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
        if not layers:
            raise ValueError(
                "InputDropout: the model has no nn.Linear whose inputs could be dropped; use another transform."
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
    """Adds Gaussian noise to every weight and bias, the same at every call.

    Attributes:
        std: Standard deviation, as a fraction of each parameter's root mean square.
        seed: Seed of the noise.
    """

    std: float
    seed: int = 0

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """A context in which the weights are noisy."""
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
    """Shifts in both directions along one diagonal: two transforms."""
    return [Translate(pixels, pixels), Translate(-pixels, -pixels)]


def grid_shifts(pixels: float) -> list[Transform]:
    """Shifts in both directions along both axes and both diagonals: eight transforms."""
    steps = (-pixels, 0, pixels)
    shifts: list[Transform] = []
    for down in steps:
        for right in steps:
            if down or right:
                shifts.append(Translate(down, right))
    return shifts


def transformed_outputs(
    model: nn.Module,
    images: Tensor,
    transforms: Sequence[Transform],
    forward: Callable[[Tensor], Any] | None = None,
) -> list[Tensor]:
    """The outputs of the model under each transform; the model is left bit for bit as it was.

    Args:
        model: The network; it runs in eval mode without gradients.
        images: Shape (N, C, H, W).
        transforms: Each costs one forward pass; ``Transform()`` gives the plain outputs.
        forward: Calls the model on a batch; the model itself if None.

    Returns:
        One tensor per transform, shape (N, K).

    Raises:
        ValueError: The output of the model holds no tensor of shape (N, K).
    """
    results = []
    for transform in transforms:
        with isolate_model(model), transform.model(model):
            outputs = capture_activations(model, forward or model, transform.images(images), ()).outputs
        if outputs is None:
            raise ValueError("model: found no (N, K) tensor in its output, so there are no predictions to compare.")
        results.append(outputs)
    return results
