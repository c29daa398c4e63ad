"""The ladder of transforms: what the probe is asked besides itself, from weak to strong, the same at every epoch.

Rungs are the package's own transforms where it has them, so that what the study finds is found of what users get. Of
the network's own: `BatchStatistics` and `Average`; of images: `Affine`.
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

#: Shifts (down, right) in pixels, wrapped: half a pixel, all neighbours of one, diagonals of two and three.
SHIFTS = (
    *((0.5, 0.5), (-0.5, -0.5)),
    *((1, 1), (-1, -1), (1, -1), (-1, 1), (1, 0), (-1, 0), (0, 1), (0, -1)),
    *((2, 2), (-2, -2), (2, -2), (-2, 2)),
    *((3, 3), (-3, -3)),
)
#: Shifts that repeat the border instead.
EDGE_SHIFTS = ((2, 2), (-2, -2))
#: Shifts that the training subset is asked, too.
TRAIN_SHIFTS = ((1, 1), (-1, -1), (2, 2), (-2, -2))
NOISE, DROPOUT, WEIGHT_NOISE = (0.1, 0.3, 0.6), (0.1, 0.3), (0.05, 0.2)


@dataclass(frozen=True)
class Affine(Transform):
    """Turns and scales images about their middle, bilinearly, borders repeated.

    Attributes:
        degrees: Angle.
        scale: Above 1 the middle grows.
    """

    degrees: float = 0.0
    scale: float = 1.0

    def images(self, images: Tensor) -> Tensor:
        """The turned probe."""
        angle = math.radians(self.degrees)
        c, s = math.cos(angle) / self.scale, math.sin(angle) / self.scale
        theta = torch.tensor([[c, -s, 0.0], [s, c, 0.0]]).expand(len(images), 2, 3)
        grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
        return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


class BatchStatistics(Transform):
    """Batch norms take mean and variance from the batch; whoever calls puts the running ones back (`undisturbed`)."""

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """Inside, the batch norms are in training mode."""
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.training = True
        yield


@dataclass(frozen=True)
class Average(Transform):
    """The network with other weights: a moving average of its own.

    Attributes:
        state: As `nn.Module.state_dict` gives it.
    """

    state: dict[str, Tensor]

    @contextmanager
    def model(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        try:
            model.load_state_dict(self.state)
            yield
        finally:
            model.load_state_dict(own)


def shift_name(down: float, right: float) -> str:
    """E.g. ``+1-1``."""
    return f"{down:+g}{right:+g}"


def ladder(model: nn.Module, average: dict[str, Tensor]) -> dict[str, Transform]:
    """Every rung by its name in the record; the first is the plain probe.

    Args:
        model: Batch statistics are a rung only where it has batch norms.
        average: State of the moving average of its weights.
    """
    normed = any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
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
        **({"batch_statistics": BatchStatistics()} if normed else {}),
        "average": Average(average),
    }


def train_ladder() -> dict[str, Transform]:
    """The rungs of the training subset."""
    return {"identity": Transform(), **{f"shift/{shift_name(*s)}": Translate(*s) for s in TRAIN_SHIFTS}}
