"""The tests behind node health: how often a unit is active, and over how many pixels its activity is spread."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lightning_factorlens.results.node_health import LayerHealth

#: Effective pixels up to which an activity counts as that of a single pixel: two neighbours share an edge.
SINGLE = 2.0
#: Positions below which a map has few pixels in any case, so that the test says nothing.
MIN_POSITIONS = 16


@dataclass(frozen=True)
class HealthCounts:
    """In how many images the units of a layer are active, and in how many of them in a single pixel.

    Attributes:
        n_images: Number of images.
        fires: Shape (units,), int64, on the CPU.
        single_pixel: Shape (units,), int64; None where the layer has fewer than `MIN_POSITIONS` positions.
    """

    n_images: int
    fires: Tensor
    single_pixel: Tensor | None

    def __add__(self, other: HealthCounts) -> HealthCounts:
        single = None
        if self.single_pixel is not None and other.single_pixel is not None:
            single = self.single_pixel + other.single_pixel
        return HealthCounts(self.n_images + other.n_images, self.fires + other.fires, single)


def count_units(maps: Tensor) -> HealthCounts:
    """Counts the images of one pass.

    The effective pixels of a map a are (Σ a²)² / Σ a⁴, from 1 for a single pixel to their number for equal values;
    negative values count as zero.

    Args:
        maps: Shape (n, units, positions, …), see `UnitAxis`.

    Example:
        >>> one, three = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
        >>> one[0, 0, 0, 0] = 5.0
        >>> counts = count_units(torch.cat([one, three]))
        >>> counts.fires.tolist(), counts.single_pixel.tolist()
        ([2], [1])
    """
    values = maps.float().flatten(2) if maps.ndim > 2 else maps.float()[:, :, None]
    values = torch.where(values > 0, values, 0.0)  # clamp_min would be traced as an activation function of the model
    largest = values.amax(2)
    is_active = largest > 0
    fires = is_active.sum(0).cpu()
    if values.shape[2] < MIN_POSITIONS:
        return HealthCounts(len(maps), fires, None)
    squares = (values / largest.where(is_active, 1.0)[:, :, None]).square()
    effective = squares.sum(2).square() / squares.square().sum(2).where(is_active, 1.0)
    return HealthCounts(len(maps), fires, (is_active & (effective <= SINGLE)).sum(0).cpu())


def decide(name: str, counts: HealthCounts, rate: float | None, level: float) -> LayerHealth:
    """The verdicts on the units of a layer.

    A unit is dead or rare if a binomial test rejects that it is active in a share of ``rate`` of the images: dead if it
    was active in none. It is active in single pixels if a sign test rejects that its activity is spread over more than
    two effective pixels in half of the images in which it is active. Each test is corrected for the number of units by
    Benjamini and Hochberg (1995): of the units that it flags at most a share of ``level`` is flagged by chance, on
    average, where units are independent or positively dependent. At ln(units / level) / rate images the p-value of a
    dead unit is at most level / units, since (1 - rate)ᴺ ≤ exp(-rate · N); with fewer all units are undecided. So is a
    unit that is active in too few images for the sign test.

    Args:
        name: Name of the layer.
        counts: From `count_units`.
        rate: Share of the images; None for the smallest that so many images can decide.
        level: Level α.
    """
    from scipy.stats import binom

    n_units = len(counts.fires)
    if rate is None:
        rate = min(math.log(n_units / level) / counts.n_images, 1.0)
    fires = counts.fires.numpy()
    p_lazy = torch.from_numpy(np.asarray(binom.cdf(fires, counts.n_images, rate), dtype=np.float64))
    p_single = None
    if counts.single_pixel is not None:
        tail = binom.sf(counts.single_pixel.numpy() - 1, fires, 0.5)
        p_single = torch.from_numpy(np.asarray(tail, dtype=np.float64))
    is_lazy = benjamini_hochberg(p_lazy) <= level
    is_single = torch.zeros(n_units, dtype=torch.bool) if p_single is None else benjamini_hochberg(p_single) <= level
    is_testable = torch.ones(n_units, dtype=torch.bool)
    if p_single is not None:
        is_testable = counts.fires >= math.log2(n_units / level)
    verdicts = []
    for unit in range(n_units):
        verdicts.append(_verdict(int(fires[unit]), bool(is_lazy[unit]), bool(is_single[unit]), bool(is_testable[unit])))
    health = LayerHealth(
        name, counts.n_images, rate, level, counts.fires, counts.single_pixel, p_lazy, p_single, tuple(verdicts)
    )
    if health.is_decided:
        return health
    return replace(health, verdicts=("undecided",) * n_units)


def benjamini_hochberg(p_values: Tensor) -> Tensor:
    """Adjusted p-values: those at most α are found at a false discovery rate of α.

    Benjamini and Hochberg (1995), "Controlling the false discovery rate".

    Args:
        p_values: Shape (tests,).

    Example:
        >>> benjamini_hochberg(torch.tensor([0.5, 0.01, 0.03, 0.02]))
        tensor([0.5000, 0.0400, 0.0400, 0.0400])
    """
    order = p_values.argsort(descending=True)
    n_tests = len(p_values)
    ranks = torch.arange(n_tests, 0, -1, dtype=p_values.dtype)
    scaled = (p_values[order] * n_tests / ranks).cummin(0).values.clamp_max(1)
    return torch.empty_like(p_values).scatter(0, order, scaled)


def _verdict(fires: int, is_lazy: bool, is_single: bool, is_testable: bool) -> str:
    if is_lazy:
        return "rare" if fires else "dead"
    if is_single:
        return "single pixel"
    return "active" if is_testable else "undecided"
