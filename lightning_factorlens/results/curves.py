"""Errors against rank, and the rank that an error asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RankCurve:
    """Error against rank, under its three names (each a tuple as long as ``ranks``).

    Attributes:
        ranks: Ascending.
        rmse: sqrt(SSE / entries), in the units of the activations.
        rel_error: ‖X − X̂‖ / ‖X‖.
        rel_sq_error: The square of ``rel_error``; the papers' published code calls this "RMSE".
    """

    ranks: tuple[int, ...]
    rmse: tuple[float, ...]
    rel_error: tuple[float, ...]
    rel_sq_error: tuple[float, ...]


@dataclass(frozen=True)
class RequiredRank:
    """rank@τ, the smallest rank whose relative error is at most τ.

    Attributes:
        tau: The relative error asked for.
        rank: Interpolated in log rank; the largest (smallest) rank tried where the curve ends above
            (starts below) τ.
        capped: Whether the curve never came down to τ, so that ``rank`` is only a lower bound.
    """

    tau: float
    rank: float
    is_lower_bound: bool
