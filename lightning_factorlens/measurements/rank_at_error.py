"""rank@τ: the number of components that explain inputs and activations up to a relative error τ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.history import HISTORY
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.metrics.required_rank import required_rank
from lightning_factorlens.results import RequiredRanks, required_rank_name
from lightning_factorlens.results.quantities import declare_quantities


@dataclass(frozen=True)
class RankAtError(Measurement):
    """The smallest rank whose relative error is at most τ, for several τ; see `metrics.required_rank`.

    Attributes:
        thresholds: The relative errors τ, each between 0 and 1.

    Raises:
        ValueError: No threshold, one outside (0, 1), or the same one twice.
    """

    thresholds: Sequence[float] = (0.5, 0.3)

    name: ClassVar[str] = "required_rank"
    needs: ClassVar[frozenset[str]] = frozenset({"factorization"})
    figures: ClassVar[tuple[FigureSpec, ...]] = (HISTORY,)

    def __post_init__(self) -> None:
        is_list = isinstance(self.thresholds, (tuple, list))
        if (
            not is_list
            or not self.thresholds
            or not all(isinstance(tau, float) and 0 < tau < 1 for tau in self.thresholds)
        ):
            raise ValueError(
                f"thresholds: must be a list of relative errors between 0 and 1, found {self.thresholds!r}; "
                "write e.g. (0.5, 0.3)."
            )
        if len(set(self.thresholds)) < len(self.thresholds):
            raise ValueError(f"thresholds: found {self.thresholds!r}; list every threshold once.")
        declare_quantities(scalar.quantity for scalar in self.scalars)

    @property
    def scalars(self) -> tuple[Scalar, ...]:  # type: ignore[override]
        """Two for each threshold: the rank, and whether it is only a lower bound."""
        declared = []
        for tau in self.thresholds:
            name = required_rank_name(tau)
            declared.append(
                Scalar(
                    name,
                    f"{{prefix}}/{name}",
                    f"Components needed to bring the relative error of inputs and activations down to {tau:g}.",
                    reading="Higher: inputs are distinguished more finely. It levels off while a network learns, and "
                    "keeps rising while one memorises wrong labels: rank is not quality.",
                    unit="components",
                    chart=f"components needed for a relative error of {tau:g}",
                    lower_bound=f"{name}_is_lower_bound",
                    monitored=True,
                    summary=True,
                )
            )
            declared.append(
                Scalar(
                    f"{name}_is_lower_bound",
                    f"{{prefix}}_total/{name}_is_lower_bound",
                    f"1 where even the largest rank tried has a relative error above {tau:g}, else 0.",
                    monitored=True,
                )
            )
        return tuple(declared)

    def measure(self, context: Context) -> RequiredRanks:
        """Interpolates the curve of all blocks together."""
        curve = context.curves["total"]
        return RequiredRanks(tuple(required_rank(curve, tau) for tau in self.thresholds))
