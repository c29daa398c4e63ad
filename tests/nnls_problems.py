"""Random non-negative least squares problems for several groups of components, and their objectives."""

import torch

SIZES = (1, 2, 5, 5, 8, 3)


def random_problem(sizes=SIZES, m=40, dtype=torch.float64, seed=0, N=60):
    """F ≥ 0 and X; the Gram matrices and the linear term of min ‖X − Wᵀ F‖² over W ≥ 0; an initial W."""
    g = torch.Generator().manual_seed(seed)
    F = torch.rand(sum(sizes), N, generator=g, dtype=dtype) * (torch.rand(sum(sizes), N, generator=g) < 0.5)
    X = torch.rand(m, N, generator=g, dtype=dtype)
    return F, X, [f @ f.T for f in F.split(sizes)], F @ X.T, torch.rand(sum(sizes), m, generator=g, dtype=dtype)


def objectives(sizes, G, B, W):
    """½ wᵀ G w − bᵀ w in float64: one row per group, one column per column of W."""
    rows = []
    for w, b, g in zip(W.double().split(sizes), B.double().split(sizes), G):
        rows.append((w * (0.5 * g.double() @ w - b)).sum(0))
    return torch.stack(rows)
