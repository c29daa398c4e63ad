"""Non-negative least squares for many groups of components by products alone, for devices where calls are what costs.

ADMM as in Huang, Sidiropoulos and Liavas, "A flexible and efficient algorithmic framework for constrained matrix and
tensor factorization" (2016), over-relaxed (Eckstein and Bertsekas 1992). Coordinate descent needs two calls for each
component and sweep, an iteration of this three for all of them; five of these do as much as two sweeps of that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.linalg.packing import Grams, packed_groups, widest_dtype

#: Over-relaxation: 1 is plain ADMM, 2 the limit of convergence.
RELAXATION = 1.6
#: Columns handled together: bounds the memory of what an iteration holds.
CHUNK = 65536


class ADMM:
    """Improves W ≥ 0 towards argmin ½ tr(Wᵀ G W) − ⟨B, W⟩ in every group; no column's objective ever rises.

    With M = (G + ρI)⁻¹ and ρ the mean diagonal of G, ADMM repeats x = M (B + ρ(z − u)), z = max(p, 0), u = min(p, 0)
    with p = αx + (1 − α)z + u. Since z − u = |p|, all of it is p ← (1 − α/2)p + αMB + (αρM − ½αI)|p|. Where it
    converges, u is (B − GW)/ρ on the zeros of W: a warm start needs no memory but W, carrying u along gains nothing.

    Args:
        sizes: Components of each group.
        G: Their Gram matrices, symmetric positive semi-definite. A component whose diagonal entry vanishes beside its
            group's largest carries no information and is left as it is.
    """

    def __init__(self, sizes: Sequence[int], G: Grams) -> None:
        like = G if isinstance(G, Tensor) else G[0]
        self.tiles = packed_groups(tuple(sizes), like.device)
        self.G = self.tiles.grams(G)
        self.mates = self.tiles.same_group.to(like.dtype)
        diagonal = self.G.diagonal(dim1=1, dim2=2)
        self.live = (diagonal > 1e-12 * (self.mates * diagonal[:, None]).amax(2))[..., None]
        wide = self.G.to(widest_dtype(like.device))
        rho = self.tiles.group_means(wide.diagonal(dim1=1, dim2=2))[..., None]
        rho = torch.where(rho > torch.finfo(like.dtype).tiny, rho, 1.0)
        eye = torch.eye(wide.shape[1], dtype=wide.dtype, device=wide.device)
        # No entry of ρM exceeds 1 and no condition number r + 1: safe in float32.
        M = torch.linalg.inv_ex(wide / rho + eye)[0]
        self.rho, self.to_target = rho.to(like.dtype), (RELAXATION * M / rho).to(like.dtype)
        self.reflect = (RELAXATION * (M - 0.5 * eye)).to(like.dtype)

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """See `InnerSolver.least_squares_`."""
        return self.tiles.least_squares_(T, B, self.G, ridge)

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """See `InnerSolver.sweep_`; so many sweeps are worth three iterations more."""
        for t, b in zip(T.split(CHUNK, 1), B.split(CHUNK, 1)):
            w, target = self.tiles.pack(t), self.tiles.pack(b)
            t.copy_(self.tiles.unpack(self._improved(w, target, sweeps + 3)))
        return T

    def _improved(self, W: Tensor, B: Tensor, iterations: int) -> Tensor:
        """W or better, column by column; both packed."""
        GW = self.G @ W
        p = torch.where(W > 0, W, ((B - GW) / self.rho).clamp_max_(0))
        pull = self.to_target @ B
        for _ in range(iterations):
            reflected = p.abs()
            p.mul_(1 - RELAXATION / 2).add_(pull)
            p.baddbmm_(self.reflect, reflected)
        found = torch.where(self.live, p.clamp_min_(0), W)
        # f(found) − f(W) = ⟨found − W, ½G(found + W) − B⟩, summed over the group at each of its places.
        slope = torch.baddbmm(GW, self.G, found).mul_(0.5).sub_(B)
        change = self.mates @ slope.mul_(found - W)
        return torch.where(change <= 0, found, W)
