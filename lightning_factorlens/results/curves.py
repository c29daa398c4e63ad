"""Errors against rank, and the rank that a given error requires."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value, network_scopes

#: Names of the three errors of a curve.
ERRORS = ("rmse", "rel_error", "rel_sq_error")


@dataclass(frozen=True)
class RankCurve:
    """Error against rank under its three names, each a tuple as long as ``ranks``.

    Attributes:
        ranks: Ranks of the factorisation, ascending.
        rmse: sqrt(SSE / entries), in the units of the activations.
        rel_error: ‖X − X̂‖ / ‖X‖, from 0 to 1.
        rel_sq_error: The square of ``rel_error``, which the published code of Saini and Papalexakis calls "RMSE".
    """

    ranks: tuple[int, ...]
    rmse: tuple[float, ...]
    rel_error: tuple[float, ...]
    rel_sq_error: tuple[float, ...]


@dataclass(frozen=True)
class RankCurves(Record, Plottable):
    """One curve for each part of an observation.

    Attributes:
        curves: Curve by scope: ``"total"``, ``"inputs"``, ``"activations"`` and then the name of every block.
        method: What comes before the quantities' names: empty for the factorisation, ``"svd_"`` for the truncated SVD.
    """

    curves: Mapping[str, RankCurve]
    method: str = ""

    def __getitem__(self, scope: str) -> RankCurve:
        return self.curves[scope]

    def values(self) -> Iterator[Value]:
        """Every error of every curve."""
        for scope, curve in self.curves.items():
            for error in ERRORS:
                for rank, value in zip(curve.ranks, getattr(curve, error)):
                    yield Value(self.method + error, value, scope, rank)

    def condensed(self) -> RankCurves:
        """A copy with the curves of the whole network, of its inputs and of its activations alone."""
        return RankCurves(network_scopes(self.curves), self.method)


@dataclass(frozen=True)
class RequiredRank:
    """The smallest rank whose relative error is at most ``tau``, written rank@τ.

    Attributes:
        tau: The relative error τ, between 0 and 1.
        rank: The rank, interpolated in log rank; the largest rank tried where the curve ends above τ, the smallest
            where it starts below; NaN without a curve.
        is_lower_bound: Whether the curve never came down to τ, so that ``rank`` is only a lower bound.
    """

    tau: float
    rank: float
    is_lower_bound: bool

    @property
    def quantity(self) -> str:
        """Name of the quantity: ``rank_at_30pct`` for τ = 0.3, ``rank_at_12p5pct`` for τ = 0.125."""
        return required_rank_name(self.tau)


@dataclass(frozen=True)
class RequiredRanks(Record):
    """Required ranks for several thresholds.

    Attributes:
        ranks: One entry for each τ.
    """

    ranks: tuple[RequiredRank, ...]

    def values(self) -> Iterator[Value]:
        """Each rank, and whether it is only a lower bound as 1 or 0; both NaN without a rank."""
        for required in self.ranks:
            is_lower_bound = float(required.is_lower_bound)
            if math.isnan(required.rank):
                is_lower_bound = math.nan
            yield Value(required.quantity, required.rank, "total")
            yield Value(f"{required.quantity}_is_lower_bound", is_lower_bound, "total")


def required_rank_name(tau: float) -> str:
    """Name of the quantity rank@τ.

    Args:
        tau: The relative error τ.

    Example:
        >>> required_rank_name(0.3), required_rank_name(0.125)
        ('rank_at_30pct', 'rank_at_12p5pct')
    """
    percent = f"{100 * tau:.6g}".replace(".", "p")
    return f"rank_at_{percent}pct"


def middle_rank(ranks: Sequence[int]) -> int:
    """The rank that represents all ranks where only one can be shown.

    Args:
        ranks: The ranks, ascending, at least one.

    Example:
        >>> middle_rank((1, 2, 4, 8, 16, 32))
        8
    """
    return ranks[len(ranks) // 2]
