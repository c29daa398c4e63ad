"""The penalties on both factors together: what keeps one factor from avoiding the penalty on the other one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.factorization.penalties import L2, Penalty

#: Newton steps of `UnitBall.ball_multiplier`; five reach the precision of float64.
NEWTON_STEPS = 6


@dataclass(frozen=True)
class UnitBall:
    """The constraint ‖t‖ ≤ 1 on every component of the factor that has no penalty, while the other one has.

    Without it the factor with the penalty would shrink, the other one would grow by as much, and the penalty would
    vanish at the same error (Hoyer 2004, "Non-negative matrix factorization with sparseness constraints").

    Example:
        >>> UnitBall().prox_(torch.tensor([3.0, 4.0]), 1.0)
        tensor([0.6000, 0.8000])

    Attributes:
        weight: 0, since the constraint adds nothing to the objective.
    """

    weight: float = 0.0

    def value(self, T: Tensor) -> Tensor:
        """Returns zeros."""
        return T.new_zeros(len(T), dtype=torch.float64)

    def prox_(self, t: Tensor, v: float) -> Tensor:
        """Projects a component onto the ball in place."""
        return t.div_(torch.linalg.vector_norm(t).clamp_min(1))

    def half_gradient(self, T: Tensor) -> Tensor:
        """Returns zeros; multiplicative updates use `ball_multiplier`."""
        return torch.zeros_like(T)

    def ball_multiplier(self, T: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
        """Computes the smallest μ ≥ 0 with ‖T ∗ numerator / (denominator + μ T)‖ ≤ 1 for each component.

        This is the secular equation of a trust region (Conn, Gould and Toint 2000, "Trust-region methods", section
        7.3), on which Newton's method in 1/‖·‖ converges monotonically from μ = 0.

        Args:
            T: The factor, shape (r, m).
            numerator: Shape of T.
            denominator: Shape of T, positive.

        Returns:
            Shape (r, 1).
        """
        mu = T.new_zeros(len(T), 1)
        for _ in range(NEWTON_STEPS):
            shifted = denominator + mu * T
            updated = T * numerator / shifted
            norm_sq = updated.square().sum(1, keepdim=True)
            slope = (updated.square() * T / shifted).sum(1, keepdim=True)
            step = (norm_sq.sqrt() - 1) * norm_sq / slope.clamp_min(torch.finfo(T.dtype).tiny)
            mu = mu + step.clamp_min(0)
        return mu


def effective_penalties(penalty_W: Penalty | None, penalty_F: Penalty | None) -> tuple[Penalty | None, Penalty | None]:
    """Returns the penalties on W and on F; if only one has an effect, the other factor gets the constraint `UnitBall`.

    Example:
        >>> from lightning_factorlens import L1
        >>> effective_penalties(L1(0.1), None)
        (L1(weight=0.1), UnitBall(weight=0.0))
    """
    has_W = penalty_W is not None and penalty_W.weight > 0
    has_F = penalty_F is not None and penalty_F.weight > 0
    if has_W and not has_F:
        return penalty_W, UnitBall()
    if has_F and not has_W:
        return UnitBall(), penalty_F
    return penalty_W, penalty_F


def check_signed_blocks(is_signed: bool, penalties: tuple[Penalty | None, Penalty | None]) -> None:
    """Checks that a penalty on F cannot be avoided through blocks with a signed factor.

    Args:
        is_signed: Whether any block has a signed factor.
        penalties: On W and on F, see `effective_penalties`.

    Raises:
        ValueError: A penalty on F without one on W that applies to signed factors, whose entries could grow instead.
    """
    penalty_W, penalty_F = penalties
    if is_signed and penalty_F is not None and penalty_F.weight > 0 and not isinstance(penalty_W, L2):
        raise ValueError(
            f"penalty_W: found {penalty_W!r} together with penalty_F={penalty_F!r} and a block with a signed factor. "
            "Only L2 applies to signed factors; without it they grow until the penalty on F has no effect. Pass "
            "penalty_W=L2(...), or leave signed blocks out."
        )
