"""rank@τ: the rank a network needs, made a number.

Papers 000 and 003 say that better trained networks need a higher rank and give no criterion. Here it is the smallest
rank whose relative error is at most τ, interpolated linearly in log rank.
"""

from __future__ import annotations

import math

from lightning_factorlens.results import RankCurve, RequiredRank


def required_rank(curve: RankCurve, tau: float) -> RequiredRank:
    """rank@τ of a curve.

    Args:
        curve: Ascending ranks.
        tau: Relative error asked for, between 0 and 1.

    Returns:
        The rank; ``capped`` where even the largest rank tried has a larger error, so that the truth lies above it.

    Raises:
        ValueError: τ outside (0, 1).
    """
    if not 0 < tau < 1:
        raise ValueError(f"error_thresholds: a relative error lies between 0 and 1, found {tau!r}.")
    ranks, errors = curve.ranks, curve.rel_error
    if errors[0] <= tau:
        return RequiredRank(tau, float(ranks[0]), False)
    for (r0, e0), (r1, e1) in zip(zip(ranks, errors), zip(ranks[1:], errors[1:])):
        if e1 <= tau:
            part = (e0 - tau) / (e0 - e1)
            return RequiredRank(tau, math.exp(math.log(r0) + part * (math.log(r1) - math.log(r0))), False)
    return RequiredRank(tau, float(ranks[-1]), True)
