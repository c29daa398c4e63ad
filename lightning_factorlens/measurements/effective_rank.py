"""Effective rank of inputs and activations (RankMe)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.results import ScopedScalar

HELP = "exp of the entropy of the normalised singular values (RankMe, Garrido et al. 2023)"


@dataclass(frozen=True)
class EffectiveRank(Measurement):
    """exp of the entropy of the singular values of every block, and of all of them together.

    Garrido, Balestriero, Najman and LeCun (2023), "RankMe: assessing the downstream performance of pretrained
    self-supervised representations by their rank", eq. 1; Roy and Vetterli (2007), "The effective rank".
    """

    name: ClassVar[str] = "effective_rank"
    needs: ClassVar[frozenset[str]] = frozenset({"factorization"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "effective_rank",
            "{prefix}/effective_rank",
            f"{HELP}, of all blocks together.",
            reading="It reads like the rank at a given error, without a threshold. It is low where "
            "`max_neurons_per_layer` leaves out neurons.",
            unit="components",
            scope="total",
            chart="effective rank, components",
            monitored=True,
            summary=True,
        ),
        Scalar(
            "effective_rank",
            "{prefix}_inputs/effective_rank",
            f"{HELP}, of the inputs.",
            unit="components",
            scope="inputs",
            detail="all",
        ),
        Scalar(
            "effective_rank",
            "{prefix}_activations/effective_rank",
            f"{HELP}, of all activations.",
            unit="components",
            scope="activations",
        ),
        Scalar(
            "effective_rank",
            "{prefix}_layers/{scope}/effective_rank",
            f"{HELP}, of one block.",
            unit="components",
            detail="layers",
        ),
    )

    def measure(self, context: Context) -> ScopedScalar:
        """Reads the eigenvalues of the blocks' Gram matrices."""
        return ScopedScalar("effective_rank", context.block_groups.effective_ranks())
