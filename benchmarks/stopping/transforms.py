"""The transforms under which outputs for the probe are recorded, from weak to strong, the same at every epoch.

Transforms of images and general ones of the model are in `signals.transforms`; this module adds `Affine` for images,
and `BatchStatistics` and `Average` for the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.stopping.signals.transforms import (
    GaussianNoise,
    HorizontalFlip,
    InputDropout,
    Transform,
    Translate,
    WeightNoise,
)

#: Shifts (down, right) in pixels, wrapped: half a pixel, one pixel in all directions, two and three along diagonals.
SHIFTS = (
    *((0.5, 0.5), (-0.5, -0.5)),
    *((1, 1), (-1, -1), (1, -1), (-1, 1), (1, 0), (-1, 0), (0, 1), (0, -1)),
    *((2, 2), (-2, -2), (2, -2), (-2, 2)),
    *((3, 3), (-3, -3)),
)
#: Shifts that repeat the border instead of wrapping.
EDGE_SHIFTS = ((2, 2), (-2, -2))
#: Shifts of the training subset.
TRAIN_SHIFTS = ((1, 1), (-1, -1), (2, 2), (-2, -2))
NOISE = (0.1, 0.3, 0.6)
DROPOUT = (0.1, 0.3)
WEIGHT_NOISE = (0.05, 0.2)


@dataclass(frozen=True)
class Affine(Transform):
    """Rotates and scales images about their center, with bilinear interpolation and repeated borders.

    Attributes:
        degrees: Angle of the rotation.
        scale: Factor of the magnification.
    """

    degrees: float = 0.0
    scale: float = 1.0

    def images(self, images: Tensor) -> Tensor:
        """The rotated and scaled images."""
        angle = math.radians(self.degrees)
        c = math.cos(angle) / self.scale
        s = math.sin(angle) / self.scale
        theta = torch.tensor([[c, -s, 0.0], [s, c, 0.0]]).expand(len(images), 2, 3)
        grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
        return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


class BatchStatistics(Transform):
    """Batch norms use the batch's statistics; the caller must restore the running ones, as `isolate_model` does."""

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """A context in which the batch norms are in training mode."""
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.training = True
        yield


@dataclass(frozen=True)
class Average(Transform):
    """Replaces the weights by a moving average of them.

    Attributes:
        state: The averaged weights, as `nn.Module.state_dict` returns them.
    """

    state: dict[str, Tensor]

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """A context in which the model has the averaged weights."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        try:
            model.load_state_dict(self.state)
            yield
        finally:
            model.load_state_dict(own)


def shift_name(down: float, right: float) -> str:
    """The name of a shift, e.g. ``+1-1``."""
    return f"{down:+g}{right:+g}"


def probe_transforms(model: nn.Module, average: dict[str, Tensor]) -> dict[str, Transform]:
    """The transforms of the probe by their name in the record; the first is the identity.

    Args:
        model: The network; `BatchStatistics` is included only if it has batch norms.
        average: State of the moving average of its weights.
    """
    has_batch_norm = any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    return {
        "identity": Transform(),
        **{f"shift/{shift_name(*s)}": Translate(*s) for s in SHIFTS},
        **{f"edge/{shift_name(*s)}": Translate(*s, fill="edge") for s in EDGE_SHIFTS},
        "flip": HorizontalFlip(),
        "turn/5": Affine(degrees=5.0),
        "scale/1.1": Affine(scale=1.1),
        **{f"noise/{s:g}": GaussianNoise(s) for s in NOISE},
        **{f"dropout/{p:g}": InputDropout(p) for p in DROPOUT},
        **{f"weight_noise/{s:g}": WeightNoise(s) for s in WEIGHT_NOISE},
        **({"batch_statistics": BatchStatistics()} if has_batch_norm else {}),
        "average": Average(average),
    }


def training_transforms() -> dict[str, Transform]:
    """The transforms of the training subset by name; the first is the identity."""
    return {"identity": Transform(), **{f"shift/{shift_name(*s)}": Translate(*s) for s in TRAIN_SHIFTS}}
