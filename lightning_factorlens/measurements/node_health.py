"""Share of the units that are dead, rarely active or active in single pixels; not a default measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from lightning_factorlens._validation import check_int
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.tracing import TracedCall
from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.cadence import is_due
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.missing_outputs import absence_note
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.results import ScopedScalar
from lightning_factorlens.visualization.health_tests import HealthCounts, count_units, decide
from lightning_factorlens.visualization.node_health import LEVEL, check_shares
from lightning_factorlens.visualization.probe_pass import check_no_nan, read_calls
from lightning_factorlens.visualization.unit_maps import UnitAxis

NAME = "node_health"


@dataclass(frozen=True)
class NodeHealth(Measurement):
    """Share of the units of every captured layer that `visualization.node_health` finds dead, rare or single-pixel.

    It makes a forward pass of the probe of its own, since the capture keeps some neurons of a layer and not whole maps.
    It does not find memorisation. The first observation is that of the untrained network, of which the same numbers are
    known; a share that it had is no trace of training.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU())
        >>> _ = model[1].bias.data[:4].fill_(-100.0)
        >>> FactorLens(model, measurements=[NodeHealth()]).observe(torch.rand(128, 1, 8, 8))["node_health"]["total"]
        0.25

    Attributes:
        every: The units are tested at the first full observation, and then at every n-th.
        rate: Share of the images in which a unit must be active not to be dead or rare; None for the smallest that the
            probe can decide, ln(units / level) / N.
        level: The false discovery rate among the units of a layer.
    """

    every: int = 1
    rate: float | None = None
    level: float = LEVEL

    name: ClassVar[str] = NAME
    needs: ClassVar[frozenset[str]] = frozenset({"capture", "forward"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "flagged_units",
            "{prefix}_units/flagged",
            "Share of the units of all captured layers that are dead, rarely active or active in single pixels, by "
            "tests over the probe.",
            reading="Compare the value before training: untrained networks have such units too. It does not find "
            "memorisation.",
            better="lower",
            chart="dead, rare and single-pixel units",
            scope="total",
            monitored=True,
            starts_later=True,
        ),
        Scalar(
            "flagged_units",
            "{prefix}_layers/{scope}/flagged_units",
            "Share of the layer's units that are dead, rarely active or active in single pixels.",
            detail="layers",
        ),
    )

    def __post_init__(self) -> None:
        check_int("every", self.every, 1)
        check_shares(self.rate, self.level)

    def measure(self, context: Context) -> ScopedScalar | None:
        """Tests the units where that is due."""
        if not is_due(context, self.every):
            return None
        layers = [block.name for block in context.capture.layers]
        shares: dict[str, float] = {}
        n_flagged, n_units = 0.0, 0
        for name, counts in _count(context, layers).items():
            health = decide(name, counts, self.rate, self.level)
            if not health.is_decided:
                reason = f"{len(context.probe)} samples; {name!r} needs {health.images_needed}, or a larger rate"
                context.note(absence_note(NAME, reason))
                continue
            shares[name] = health.flagged_share
            n_flagged += health.flagged_share * len(health.verdicts)
            n_units += len(health.verdicts)
        return ScopedScalar("flagged_units", {"total": n_flagged / n_units, **shares}) if n_units else None


def _count(context: Context, layers: list[str]) -> dict[str, HealthCounts]:
    """The counts of every layer over the whole probe; every process passes some samples."""

    def count(samples: Probe, call: Callable[[Any], Any]) -> list[dict[str, HealthCounts]]:
        """The counts of each pass."""
        axis = UnitAxis()

        def read(traced: TracedCall) -> HealthCounts | None:
            """The counts of a captured layer with an axis of units."""
            axis.note(traced)
            if traced.name not in layers or traced.output.ndim < 2:
                return None
            return count_units(check_no_nan(traced.name, axis.maps(traced, traced.output)))

        return read_calls(context.model, samples, read, call)

    joined: dict[str, HealthCounts] = {}
    for passes in context.map_samples(count):
        for found in passes:
            for name, counts in found.items():
                joined[name] = joined[name] + counts if name in joined else counts
    return joined
