"""What a sink is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lightning_factorlens.types import Observation


@runtime_checkable
class Sink(Protocol):
    """Somewhere an observation is written to."""

    def write(self, observation: Observation) -> None:
        """Write one observation."""

    def close(self) -> None:
        """Let go of what the sink itself holds; what it was given stays open."""
