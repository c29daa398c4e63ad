"""How a cost grows: the exponent of the power law that fits it best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PowerLaw:
    """cost = factor · size^exponent.

    Attributes:
        exponent: Slope of the straight line through the logarithms.
        spread: Standard error of the exponent; NaN for two sizes, which a line always fits.
        factor: The cost at size 1.
    """

    exponent: float
    spread: float
    factor: float

    def __call__(self, size: float) -> float:
        """The cost at a size."""
        return self.factor * size**self.exponent

    def __str__(self) -> str:
        if math.isnan(self.spread):
            return f"{self.exponent:.2f}"
        return f"{self.exponent:.2f} ± {self.spread:.2f}"


def fit_power_law(sizes: Sequence[float], costs: Sequence[float]) -> PowerLaw:
    """Fits a straight line to the logarithms, by least squares.

    Args:
        sizes: At least two different ones, all positive.
        costs: One for each size, all positive.

    Example:
        >>> law = fit_power_law([1, 10, 100], [2, 200, 20_000])
        >>> str(law), round(law(1000))
        ('2.00 ± 0.00', 2000000)
    """
    x = list(map(math.log, sizes))
    y = list(map(math.log, costs))
    mean_x = sum(x) / len(x)
    mean_y = sum(y) / len(y)
    variation = sum((value - mean_x) ** 2 for value in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / variation
    residual = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y))
    spread = math.nan
    if len(x) > 2:
        spread = math.sqrt(residual / (len(x) - 2) / variation)
    return PowerLaw(slope, spread, math.exp(mean_y - slope * mean_x))
