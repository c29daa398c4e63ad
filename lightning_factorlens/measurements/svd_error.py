"""Error of the truncated SVD at the same ranks, the lower bound of the error of any factorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.results import RankCurves

TAG = "{prefix}_svd/{scope}/rel_error/rank_{rank}"
HELP = "Relative error of the truncated SVD, which no factorisation with so many components can go below."


@dataclass(frozen=True)
class SVDError(Measurement):
    """The lower bound of the reconstruction error by the theorem of Eckart and Young (1936)."""

    name: ClassVar[str] = "svd_error"
    needs: ClassVar[frozenset[str]] = frozenset({"factorization"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "svd_rel_error",
            TAG,
            HELP,
            reading="The shaded gap between it and `{prefix}_layers/<name>/rel_error` is what non-negativity costs. "
            "A gap that jumps shows that the solver has not converged. It is low for layers of which "
            "`max_neurons_per_layer` leaves out neurons.",
            scope="total",
            chart="NMF error above its SVD bound (shaded), rank {rank}",
            margin_of="rel_error",
            ranks="few",
        ),
        Scalar("svd_rel_error", TAG, "Relative error of the truncated SVD of one part or block.", detail="all"),
        Scalar(
            "svd_rmse",
            "{prefix}_svd/{scope}/rmse/rank_{rank}",
            "Root mean square error of the truncated SVD.",
            unit="activation",
            detail="all",
        ),
    )

    def measure(self, context: Context) -> RankCurves:
        """Reads the eigenvalues of the blocks' Gram matrices."""
        return RankCurves(context.block_groups.svd_curves(context.curves), method="svd_")
