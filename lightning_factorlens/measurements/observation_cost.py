"""The cost of the lens itself; its record is made by the lens and not by a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.scalar import Scalar


@dataclass(frozen=True)
class ObservationCost(Measurement):
    """Declares the scalars of the record `lightning_factorlens.results.Cost`, which every observation has."""

    name: ClassVar[str] = "cost"
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "seconds",
            "{prefix}_cost/seconds",
            "Time that an observation took, figures and writing included.",
            reading="`max_overhead` bounds the time of full observations and figures.",
            unit="s",
            better="lower",
            scope="total",
            chart="cost of the lens, seconds an observation",
            monitored=True,
            summary=True,
        ),
        Scalar("seconds", "{prefix}_cost/{scope}", "Seconds by phase.", unit="s", better="lower", detail="all"),
        Scalar(
            "overhead",
            "{prefix}_cost/overhead",
            "The cost as a fraction of the time since the last observation.",
            better="lower",
            monitored=True,
        ),
        Scalar(
            "signal_only",
            "{prefix}_cost/signal_only",
            "Observations so far that `max_overhead` did not allow in full.",
            unit="observations",
            monitored=True,
        ),
    )

    def measure(self, context: Context) -> None:
        """Nothing: the lens adds the record when the observation is complete."""
