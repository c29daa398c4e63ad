"""How pictures are optimised: the options, and two presets."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from lightning_factorlens._validation import check_choice, check_int, check_non_negative, check_type
from lightning_factorlens.visualization.optimizers import Adam, Optimizer
from lightning_factorlens.visualization.parametrizations import Fourier, Parametrization, Pixels
from lightning_factorlens.visualization.transforms import Jitter, Transform

PRESETS = ("faithful", "natural")
#: Bytes of the tensors of a forward pass with gradients, unless the user says otherwise.
PROCESSOR_BUDGET = 16 * 2**20
ACCELERATOR_BUDGET = 2**30
#: Largest shift of the natural preset, as a share of the smaller side: for layers with positions, and without.
JITTER_SHARE = 1 / 8
DENSE_JITTER_SHARE = 1 / 28


@dataclass(frozen=True)
class Settings:
    """How pictures are optimised.

    Attributes:
        parametrization: What the numbers are that are optimised.
        transforms: Random transformations that each picture passes in every step.
        optimizer: How a gradient changes them.
        steps: Largest number of steps.
        tolerance: A picture leaves the batch when its mean gain over the last ``patience`` steps is above that of the
            ``patience`` steps before by no more than this, in units of its best real image's score; 0 for never.
        patience: See ``tolerance``.
        cooldown: Share of the steps, at the end, over which the learning rate falls to zero.
        variation_limit: Largest total variation, relative to that of the real images; more is penalised. None for no
            limit.
        variation_weight: What one unit above that limit costs, in units of the best real image's score.
        diversity: What pictures of one objective lose that are all alike, in units of the best real image's score: the
            mean cosine of the Gram matrices of the first term's layer, see "Feature visualization" (Olah et al. 2017).
        memory_budget: Bytes that the tensors of a forward pass with gradients may take; more pictures are optimised in
            several batches. None: `PROCESSOR_BUDGET` on a processor, where batches that fit its caches are faster, else
            `ACCELERATOR_BUDGET`.
        max_batch: Largest number of pictures in a batch.
    """

    parametrization: Parametrization = field(default_factory=Pixels)
    transforms: tuple[Transform, ...] = ()
    optimizer: Optimizer = field(default_factory=Adam)
    steps: int = 64
    tolerance: float = 1e-3
    patience: int = 8
    cooldown: float = 0.25
    variation_limit: float | None = None
    variation_weight: float = 1.0
    diversity: float = 0.5
    memory_budget: int | None = None
    max_batch: int = 512

    def __post_init__(self) -> None:
        for name in ("steps", "patience", "max_batch"):
            check_int(name, getattr(self, name), 1)
        check_int("memory_budget", self.memory_budget, 1, or_none="the default of the device")
        for name in ("tolerance", "cooldown", "variation_weight", "diversity"):
            check_non_negative(name, getattr(self, name))
        if self.variation_limit is not None:
            check_non_negative("variation_limit", self.variation_limit)
        check_type("parametrization", self.parametrization, Parametrization, "pass Pixels(), Fourier() or the like")
        check_type("optimizer", self.optimizer, Optimizer, "pass Adam() or the like")
        check_type("transforms", self.transforms, tuple, "pass a tuple such as (Jitter(2),)")
        for transform in self.transforms:
            check_type("transforms", transform, Transform, "pass a tuple such as (Jitter(2),)")

    def budget(self, device: torch.device) -> int:
        """Bytes that the tensors of a forward pass with gradients may take."""
        if self.memory_budget is not None:
            return self.memory_budget
        return PROCESSOR_BUDGET if device.type == "cpu" else ACCELERATOR_BUDGET

    def rate(self, step: int) -> float:
        """Factor of the learning rate in a step from 0 on.

        Example:
            >>> [Settings(steps=8, cooldown=0.5).rate(step) for step in (0, 3, 4, 7)]
            [1.0, 1.0, 1.0, 0.25]
        """
        n_last = self.cooldown * self.steps
        return min(1.0, (self.steps - step) / n_last) if n_last > 0 else 1.0


def preset(name: str, size: tuple[int, int], has_positions: bool) -> Settings:
    """The settings of a preset.

    ``"faithful"``: pixels in the box from 0 to 1 without random transformations, which reaches the largest signal. A
    picture that ends below its best real image starts once more, from that image.
    ``"natural"``: Fourier coefficients of decorrelated colours under random shifts, with a limit of the total
    variation; the signal is smaller. Shifts cost a linear layer more signal than a convolution, so there they are
    smaller.

    Args:
        name: Its name.
        size: Height and width of the pictures.
        has_positions: Whether the layer's output has positions, as that of a convolution.

    Example:
        >>> preset("natural", (32, 32), has_positions=True).transforms
        (Jitter(pixels=4),)
    """
    check_choice("preset", name, PRESETS)
    if name == "faithful":
        return Settings()
    share = JITTER_SHARE if has_positions else DENSE_JITTER_SHARE
    return Settings(
        parametrization=Fourier(),
        transforms=(Jitter(round(share * min(size))),),
        optimizer=Adam(0.2),
        variation_limit=2.0,
        variation_weight=4.0,
    )
