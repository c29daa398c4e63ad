"""rank@τ: the rank that a network requires, as one number.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", observe that
better trained networks need a higher rank and give no criterion. Here it is the smallest rank whose relative error is
at most τ, interpolated linearly in log rank.
"""

from __future__ import annotations

import math
from itertools import pairwise

from lightning_factorlens.results import RankCurve, RequiredRank


def required_rank(curve: RankCurve, tau: float) -> RequiredRank:
    """rank@τ of a curve.

    Args:
        curve: Errors at ascending ranks.
        tau: The relative error τ, between 0 and 1.

    Returns:
        The rank. Where even the largest rank tried has a larger error, it is that rank, and ``is_lower_bound`` is set.
        NaN where the curve holds NaN or infinity.

    Raises:
        ValueError: ``tau`` is not between 0 and 1.

    Example:
        >>> curve = RankCurve((1, 4), (0.8, 0.2), (0.8, 0.2), (0.64, 0.04))
        >>> required_rank(curve, 0.5)
        RequiredRank(tau=0.5, rank=2.0, is_lower_bound=False)
    """
    if not 0 < tau < 1:
        raise ValueError(f"tau: a relative error lies between 0 and 1, found {tau!r}; give e.g. 0.3.")
    ranks = curve.ranks
    errors = curve.rel_error
    if not all(map(math.isfinite, errors)):
        return RequiredRank(tau, math.nan, False)
    if errors[0] <= tau:
        return RequiredRank(tau, float(ranks[0]), False)
    for (rank, error), (next_rank, next_error) in pairwise(zip(ranks, errors)):
        if next_error <= tau:
            fraction = (error - tau) / (error - next_error)
            log_rank = math.log(rank) + fraction * (math.log(next_rank) - math.log(rank))
            return RequiredRank(tau, math.exp(log_rank), False)
    return RequiredRank(tau, float(ranks[-1]), True)
