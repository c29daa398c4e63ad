"""Error of the coupled factorisation against its rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.plots.latent_images import latent_images_figure
from lightning_factorlens.plots.layer_factors import layer_factors_figure
from lightning_factorlens.plots.rank_curve import rank_curve_figure
from lightning_factorlens.results import RankCurves

RELATIVE = "‖X − X̂‖ / ‖X‖"
PARTS = (("inputs", "the inputs"), ("activations", "all activations"))


def _part_scalars() -> tuple[Scalar, ...]:
    """The errors of the inputs, of the activations and of every block."""
    declared = []
    for scope, part in PARTS:
        declared.append(
            Scalar(
                "rel_error",
                f"{{prefix}}_{scope}/rel_error/rank_{{rank}}",
                f"{RELATIVE} of {part}.",
                scope=scope,
                ranks="middle",
            )
        )
        declared.append(
            Scalar(
                "rmse",
                f"{{prefix}}_{scope}/rmse/rank_{{rank}}",
                f"Root mean square error of {part}.",
                unit="activation",
                scope=scope,
                detail="all",
            )
        )
    declared.append(
        Scalar(
            "rel_error",
            "{prefix}_layers/{scope}/rel_error/rank_{rank}",
            f"{RELATIVE} of one block.",
            chart="relative error of the first, middle and last layer, rank {rank}",
            detail="layers",
            ranks="middle",
        )
    )
    declared.append(
        Scalar(
            "rmse",
            "{prefix}_layers/{scope}/rmse/rank_{rank}",
            "Root mean square error of one block.",
            unit="activation",
            detail="all",
        )
    )
    return tuple(declared)


@dataclass(frozen=True)
class ReconstructionError(Measurement):
    """Relative and root mean square error of a description of all blocks by r common non-negative components.

    Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", eq. 1; see
    `lightning_factorlens.metrics.rank_curve`.
    """

    name: ClassVar[str] = "reconstruction_error"
    needs: ClassVar[frozenset[str]] = frozenset({"factorization"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "rel_error",
            "{prefix}/rel_error/rank_{rank}",
            f"Relative error of all inputs and activations as r common non-negative components: {RELATIVE}.",
            reading="0 is all explained, 1 is nothing. It rises while the network learns to distinguish inputs, and "
            "keeps rising when it memorises: rank is not quality. It is slightly low where `max_neurons_per_layer` "
            "leaves out neurons.",
            scope="total",
            chart="relative error, ‖X − X̂‖ / ‖X‖, rank {rank}",
            monitored=True,
            summary=True,
            ranks="few",
        ),
        Scalar(
            "rmse",
            "{prefix}_total/rmse/rank_{rank}",
            "Root mean square error of r components, in the units of the activations.",
            reading="It grows with the activations; read it beside `{prefix}_total/rms`.",
            unit="activation",
            scope="total",
            chart="rmse, units of the activations, rank {rank}",
            monitored=True,
            ranks="middle",
        ),
        *_part_scalars(),
    )
    figures: ClassVar[tuple[FigureSpec, ...]] = (
        FigureSpec(
            "rank_curve",
            rank_curve_figure,
            "Error against rank, past epochs fading. The higher the curve, the more finely inputs are distinguished.",
        ),
        FigureSpec(
            "latent_images",
            latent_images_figure,
            "The image of each component at the input, beside the probe images that load most on it.",
        ),
        FigureSpec(
            "layer_factors",
            layer_factors_figure,
            "Where the same components have their neurons, in their strongest channels of some layers.",
        ),
    )

    def measure(self, context: Context) -> RankCurves:
        """Reads the errors of the factorisation."""
        return RankCurves(context.curves)
