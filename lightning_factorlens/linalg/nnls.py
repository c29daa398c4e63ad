"""Non-negative least squares for many right-hand sides at once, by hierarchical alternating least squares (HALS).

Cichocki and Phan, "Fast local algorithms for large scale nonnegative matrix and tensor factorizations" (2009):
coordinate descent on ½ tr(Wᵀ G W) − ⟨B, W⟩ one component (row of W) at a time, each with its closed-form minimum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Columns handled together: W, B and the scratch row of one chunk stay in the processor's cache.
CHUNK = 8192


def hals_sweeps_(
    W: Tensor, B: Tensor, G: Tensor, sweeps: int, prox_: Callable[[Tensor, float], Tensor] | None = None
) -> Tensor:
    """Improves W ≥ 0 in place towards argmin ½ tr(Wᵀ G W) − ⟨B, W⟩; the objective never rises.

    Args:
        W: Start and result, shape (r, m), non-negative.
        B: Linear term, shape (r, m).
        G: Gram matrix, shape (r, r), symmetric positive semi-definite. A component whose diagonal entry
            vanishes beside the largest carries no information and is left as it is.
        sweeps: How often every component is updated.
        prox_: Applied in place to every new component with its diagonal entry of G: a penalty's proximal step. A
            component is then handled whole, not in chunks.

    Returns:
        W itself.
    """
    diagonal = G.diagonal()
    scale = diagonal.clamp_min(torch.finfo(G.dtype).tiny)
    live = torch.nonzero(diagonal > 1e-12 * diagonal.max()).flatten().tolist()
    if len(live) == 1 and G.shape[0] == 1 and prox_ is None:
        return torch.clamp(B / scale, min=0, out=W)
    # t = b_j/g_jj − Σ_{k≠j} g_jk/g_jj w_k is the new row before clipping: one matrix–vector product each.
    off = (G / scale[:, None]).fill_diagonal_(0)
    off_rows, inverse, curvature = off.unbind(0), (1 / scale).tolist(), diagonal.tolist()
    chunk = CHUNK if prox_ is None else W.shape[1]
    for a in range(0, W.shape[1], chunk):
        w, b = W[:, a : a + chunk], B[:, a : a + chunk]
        w_t, w_rows, b_rows = w.T, w.unbind(0), b.unbind(0)  # views once: indexing is a fifth of the time
        t = torch.empty_like(w_rows[0])
        for _ in range(sweeps):
            for j in live:
                torch.addmv(b_rows[j], w_t, off_rows[j], beta=inverse[j], alpha=-1, out=t)
                torch.clamp(t, min=0, out=w_rows[j])
                if prox_ is not None:
                    prox_(w_rows[j], curvature[j])
    return W


def hals_sweeps_batched_(W: Tensor, B: Tensor, G: Tensor, sweeps: int) -> Tensor:
    """`hals_sweeps_` for several problems of one shape at once: where rows are short, calls are what costs.

    Args:
        W: Shape (b, r, m).
        B: Shape (b, r, m).
        G: Shape (b, r, r), every diagonal entry positive.
        sweeps: How often every component is updated.

    Returns:
        W itself.
    """
    scale = G.diagonal(dim1=1, dim2=2)[..., None]
    off = G / -scale
    off.diagonal(dim1=1, dim2=2).zero_()
    B = B / scale
    coefficients, targets, rows = off.split(1, 1), B.split(1, 1), W.split(1, 1)
    t = torch.empty_like(targets[0])
    for _ in range(sweeps):
        for g, b, w in zip(coefficients, targets, rows):
            torch.baddbmm(b, g, W, out=t)
            torch.clamp(t, min=0, out=w)
    return W


def least_squares_(W: Tensor, B: Tensor, G: Tensor, ridge: float = 1e-6) -> Tensor:
    """Writes argmin ½ tr(Wᵀ G W) − ⟨B, W⟩ without sign constraint into W.

    The ridge, relative to the mean diagonal of G, keeps collinear components apart.

    Args:
        W: Result, shape (r, m).
        B: Linear term, shape (r, m).
        G: Gram matrix, shape (r, r).
        ridge: Relative ridge.

    Returns:
        W itself.
    """
    G64 = G.double()
    mean = G64.diagonal().mean()
    mean = torch.where(mean > 1e-200, mean, 1.0)  # a Gram matrix of zeros gives W of zeros
    inverse = torch.linalg.inv(G64 / mean + ridge * torch.eye(G.shape[0], dtype=torch.float64, device=G.device))
    return torch.mm((inverse / mean).to(G.dtype), B, out=W)
