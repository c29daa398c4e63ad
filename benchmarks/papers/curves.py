"""The measurements of a network: error against rank under four definitions of the error, and ranks derived from them.

The papers plot an "RMSE" of their objective, Σ_b ‖X_b − W_b F‖² over input channels and layers, without a definition;
their published code computes a relative error. Both are measured, and two errors that do not depend on the scale of a
layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.integrate import trapezoid
from torch import Tensor, nn

from benchmarks.papers.settings import Settings
from benchmarks.stopping.data import STATISTICS
from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.capture.signs import Denormalize
from lightning_factorlens.factorization import Weighting
from lightning_factorlens.measurements import EffectiveRank, RankAtError, ReconstructionError, RootMeanSquare
from lightning_factorlens.results import Observation

#: Name of a definition: weighting of the objective, scope, field of the curve.
DEFINITIONS: dict[str, tuple[Weighting, str, str]] = {
    "raw RMSE": ("raw", "total", "rmse"),
    "raw relative error": ("raw", "total", "rel_error"),
    "unit-norm relative error": ("unit", "total", "rel_error"),
    "activations alone": ("unit", "activations", "rel_error"),
}
MEASUREMENTS = (ReconstructionError(), RankAtError(), EffectiveRank(), RootMeanSquare())


class CurveMeasurement:
    """Two lenses on one network: one for the papers' objective, one with every block scaled to unit norm.

    Args:
        model: The network.
        settings: Ranks and number of neurons.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        mean, std = STATISTICS["mnist"]

        def lens(weighting: Weighting) -> FactorLens:
            options = LensOptions(
                ranks=settings.ranks,
                weighting=weighting,
                input_sign_policy=Denormalize(mean, std),
                max_neurons_per_layer=settings.features,
            )
            return FactorLens(model, options, MEASUREMENTS)

        weightings: tuple[Weighting, ...] = ("raw", "unit")
        self.lenses = {weighting: lens(weighting) for weighting in weightings}

    def __call__(self, probe: Tensor) -> dict[str, Any]:
        """Curves and their areas by definition, rank@τ by τ, and RankMe, ready for JSON."""
        observations = {weighting: lens.observe(probe) for weighting, lens in self.lenses.items()}
        curves = {name: curve(observations[w], scope, kind) for name, (w, scope, kind) in DEFINITIONS.items()}
        ranks = observations["unit"]["reconstruction_error"]["total"].ranks
        return {
            "ranks": list(ranks),
            "curves": {name: list(errors) for name, errors in curves.items()},
            "area": {name: area(ranks, errors) for name, errors in curves.items()},
            "rank_at": {f"{r.tau:g}": [r.rank, r.is_lower_bound] for r in observations["unit"]["required_rank"].ranks},
            "effective_rank": observations["unit"]["effective_rank"]["total"],
            "rms": observations["raw"]["rms"]["total"],
        }


def curve(observation: Observation, scope: str, kind: str) -> Sequence[float]:
    """The error of one definition at every rank."""
    errors: Sequence[float] = getattr(observation["reconstruction_error"][scope], kind)
    return errors


def area(ranks: Sequence[int], errors: Sequence[float]) -> float:
    """The mean error over log rank: the area under a curve divided by its width. A higher one means a higher rank."""
    at = [math.log2(rank) for rank in ranks]
    return float(trapezoid(errors, at)) / (at[-1] - at[0])


def quantities(nets: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """One number per network: areas under curves, other notions of rank, and the scale of the activations."""
    found = {name: [n["area"][name] for n in nets] for name in DEFINITIONS}
    for tau in nets[0]["rank_at"]:
        found[f"rank@{float(tau):.0%}"] = [n["rank_at"][tau][0] for n in nets]
    found["RankMe"] = [n["effective_rank"] for n in nets]
    found["scale (RMS)"] = [n["rms"] for n in nets]
    return found
