"""Non-negative least squares for many groups of components by matrix products alone, by ADMM.

Huang, Sidiropoulos and Liavas (2016), "A flexible and efficient algorithmic framework for constrained matrix and tensor
factorization", with the over-relaxation of Eckstein and Bertsekas (1992), "On the Douglas–Rachford splitting method and
the proximal point algorithm for maximal monotone operators".

It is meant for devices on which the number of calls determines the time. Coordinate descent needs two calls per
component and sweep; one ADMM iteration needs three calls for all components. Five iterations improve the objective as
much as two sweeps of coordinate descent.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import INACTIVE_BELOW
from lightning_factorlens.linalg.packing import Grams, first_gram, packed_groups, widest_dtype

#: Over-relaxation parameter α: 1 is plain ADMM, and ADMM converges below 2.
RELAXATION = 1.6
#: Iterations added to the number of sweeps, so that the improvement is at least that of coordinate descent.
EXTRA_ITERATIONS = 3
#: Columns processed together, which limits the memory of one iteration.
CHUNK = 65536


class ADMM:
    """Improves W ≥ 0 towards argmin ½ tr(Wᵀ G W) − ⟨B, W⟩ in every group; no column's objective ever increases.

    With M = (G + ρI)⁻¹ and ρ the mean diagonal entry of G, ADMM repeats x = M (B + ρ(z − u)), z = max(p, 0),
    u = min(p, 0) with p = αx + (1 − α)z + u. Because z − u = |p|, one iteration is
    p ← (1 − α/2)p + αMB + (αρM − ½αI)|p|. At convergence u equals (B − GW)/ρ on the zeros of W, so W alone
    determines a good initial p, and u need not be kept between calls.

    Args:
        sizes: Number of components of each group.
        G: Gram matrices of the groups, symmetric positive semi-definite. A component whose diagonal entry is at most
            1e-12 of the largest one in its group carries no information and is not changed.

    Example:
        >>> import torch
        >>> G = [torch.tensor([[2.0]]), torch.tensor([[2.0, 1.0], [1.0, 2.0]])]
        >>> B = torch.tensor([[4.0], [3.0], [-1.0]])
        >>> ADMM((1, 2), G).improve_(torch.zeros(3, 1), B, sweeps=100)
        tensor([[2.0000],
                [1.5000],
                [0.0000]])
    """

    def __init__(self, sizes: Sequence[int], G: Grams) -> None:
        prototype = first_gram(G)
        device = prototype.device
        dtype = prototype.dtype
        self.tiles = packed_groups(tuple(sizes), device)
        self.G = self.tiles.grams(G)
        self.same_group = self.tiles.same_group.to(dtype)
        diagonal = self.G.diagonal(dim1=1, dim2=2)
        largest = (self.same_group * diagonal[:, None]).amax(2)
        self.active = (diagonal > INACTIVE_BELOW * largest)[..., None]
        wide = self.G.to(widest_dtype(device))
        rho = self.tiles.group_means(wide.diagonal(dim1=1, dim2=2))[..., None]
        rho = torch.where(rho > torch.finfo(dtype).tiny, rho, 1.0)
        identity = torch.eye(wide.shape[1], dtype=wide.dtype, device=device)
        # No entry of ρM exceeds 1, and the condition number is at most r + 1, so float32 suffices from here on.
        M = torch.linalg.inv_ex(wide / rho + identity)[0]
        self.rho = rho.to(dtype)
        self.linear_gain = (RELAXATION * M / rho).to(dtype)
        self.absolute_gain = (RELAXATION * (M - 0.5 * identity)).to(dtype)

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """Writes the minimum without a sign constraint into T; see `NNLSSolver.least_squares_`."""
        return self.tiles.least_squares_(T, B, self.G, ridge)

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """Runs ``sweeps`` + 3 iterations from T; see `NNLSSolver.improve_`."""
        for t, b in zip(T.split(CHUNK, 1), B.split(CHUNK, 1)):
            W = self.tiles.pack(t)
            target = self.tiles.pack(b)
            improved = self._improve(W, target, sweeps + EXTRA_ITERATIONS)
            t.copy_(self.tiles.unpack(improved))
        return T

    def _improve(self, W: Tensor, B: Tensor, iterations: int) -> Tensor:
        """Returns the iterate, or W in those columns where the iterate's objective is larger; all tensors packed."""
        GW = self.G @ W
        p = torch.where(W > 0, W, ((B - GW) / self.rho).clamp_max_(0))
        linear = self.linear_gain @ B
        for _ in range(iterations):
            absolute = p.abs()
            p.mul_(1 - RELAXATION / 2).add_(linear)
            p.baddbmm_(self.absolute_gain, absolute)
        found = torch.where(self.active, p.clamp_min_(0), W)
        # f(found) − f(W) = ⟨found − W, ½G(found + W) − B⟩, summed over the components of each group.
        slope = torch.baddbmm(GW, self.G, found).mul_(0.5).sub_(B)
        change = self.same_group @ slope.mul_(found - W)
        return torch.where(change <= 0, found, W)
