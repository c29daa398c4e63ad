"""Root mean square of inputs and activations, to which their rmse must be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.scalar import Detail, Scalar
from lightning_factorlens.results import ScopedScalar


def _declare(tag: str, part: str, scope: str | None, detail: Detail) -> Scalar:
    text = f"Root mean square of the entries of {part}."
    return Scalar("rms", tag, text, unit="activation", scope=scope, detail=detail)


@dataclass(frozen=True)
class RootMeanSquare(Measurement):
    """sqrt(Σ x² / entries) of every block, and of all of them together."""

    name: ClassVar[str] = "rms"
    needs: ClassVar[frozenset[str]] = frozenset({"factorization"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        _declare("{prefix}_total/rms", "all blocks", "total", "summary"),
        _declare("{prefix}_inputs/rms", "the inputs", "inputs", "all"),
        _declare("{prefix}_activations/rms", "all activations", "activations", "layers"),
        _declare("{prefix}_layers/{scope}/rms", "one block", None, "layers"),
    )

    def measure(self, context: Context) -> ScopedScalar:
        """Reads the energies of the blocks."""
        return ScopedScalar("rms", context.block_groups.rms())
