"""Non-negative least squares for many right-hand sides at once, by hierarchical alternating least squares (HALS).

Cichocki and Phan (2009), "Fast local algorithms for large scale nonnegative matrix and tensor factorizations":
coordinate descent on ½ tr(Wᵀ G W) − ⟨B, W⟩, one component (a row of W) at a time, each set to its closed-form minimum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Columns processed together. W, B and the temporary row of one chunk then fit in the processor's cache.
CHUNK = 8192
#: A component is inactive when its diagonal entry of G is at most this fraction of the largest one.
INACTIVE_BELOW = 1e-12


def hals_sweeps_(
    W: Tensor, B: Tensor, G: Tensor, sweeps: int, prox_: Callable[[Tensor, float], Tensor] | None = None
) -> Tensor:
    """Improves W ≥ 0 in place towards argmin ½ tr(Wᵀ G W) − ⟨B, W⟩; the objective never increases.

    Args:
        W: Initial value and result, shape (r, m), non-negative.
        B: Linear term, shape (r, m).
        G: Gram matrix, shape (r, r), symmetric positive semi-definite. A component whose diagonal entry is at most
            1e-12 of the largest one carries no information and is not changed.
        sweeps: Number of times every component is updated.
        prox_: Proximal operator of a penalty. It receives the new value of a component and the component's diagonal
            entry of G, and changes the value in place. All columns are then processed together, not in chunks. With
            it, a component that carries no information becomes zero, which is its minimum.

    Returns:
        W itself.

    Example:
        >>> import torch
        >>> G = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> B = torch.tensor([[3.0], [-1.0]])
        >>> hals_sweeps_(torch.zeros(2, 1), B, G, sweeps=5)
        tensor([[1.5000],
                [0.0000]])
    """
    diagonal = G.diagonal()
    scale = diagonal.clamp_min(torch.finfo(G.dtype).tiny)
    active = torch.nonzero(diagonal > INACTIVE_BELOW * diagonal.max()).flatten().tolist()
    if len(active) == 1 and G.shape[0] == 1 and prox_ is None:
        return torch.clamp(B / scale, min=0, out=W)
    if prox_ is not None:
        W[diagonal <= INACTIVE_BELOW * diagonal.max()] = 0
    # Before clipping, the new row j is b_j/g_jj − Σ_{k≠j} g_jk/g_jj w_k: one matrix–vector product.
    coefficients = (G / scale[:, None]).fill_diagonal_(0).unbind(0)
    inverse = (1 / scale).tolist()
    curvature = diagonal.tolist()
    n_columns = W.shape[1]
    chunk = n_columns if prox_ is not None else CHUNK
    for first in range(0, n_columns, chunk):
        w = W[:, first : first + chunk]
        w_t = w.T
        # The views are made once, because indexing inside the loops would take a fifth of the time.
        w_rows = w.unbind(0)
        b_rows = B[:, first : first + chunk].unbind(0)
        new_row = torch.empty_like(w_rows[0])
        for _ in range(sweeps):
            for j in active:
                torch.addmv(b_rows[j], w_t, coefficients[j], beta=inverse[j], alpha=-1, out=new_row)
                torch.clamp(new_row, min=0, out=w_rows[j])
                if prox_ is not None:
                    prox_(w_rows[j], curvature[j])
    return W


def hals_sweeps_batched_(W: Tensor, B: Tensor, G: Tensor, sweeps: int) -> Tensor:
    """Applies `hals_sweeps_` to several problems of one shape at once, which saves calls where rows are short.

    Args:
        W: Initial values and results, shape (b, r, m), non-negative.
        B: Linear terms, shape (b, r, m).
        G: Gram matrices, shape (b, r, r), with positive diagonal entries.
        sweeps: Number of times every component is updated.

    Returns:
        W itself.

    Example:
        >>> import torch
        >>> G = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]])
        >>> B = torch.tensor([[[3.0], [-1.0]]])
        >>> hals_sweeps_batched_(torch.zeros(1, 2, 1), B, G, sweeps=5)
        tensor([[[1.5000],
                 [0.0000]]])
    """
    scale = G.diagonal(dim1=1, dim2=2)[..., None]
    off_diagonal = G / -scale
    off_diagonal.diagonal(dim1=1, dim2=2).zero_()
    coefficients = off_diagonal.split(1, 1)
    targets = (B / scale).split(1, 1)
    rows = W.split(1, 1)
    new_row = torch.empty_like(targets[0])
    for _ in range(sweeps):
        for g, b, w in zip(coefficients, targets, rows):
            torch.baddbmm(b, g, W, out=new_row)
            torch.clamp(new_row, min=0, out=w)
    return W


def least_squares_(W: Tensor, B: Tensor, G: Tensor, ridge: float = 1e-6) -> Tensor:
    """Writes argmin ½ tr(Wᵀ G W) − ⟨B, W⟩, without a sign constraint, into W.

    Args:
        W: Result, shape (r, m).
        B: Linear term, shape (r, m).
        G: Gram matrix, shape (r, r).
        ridge: Added to the diagonal of G, as a multiple of its mean, so that collinear components have a solution.

    Returns:
        W itself.

    Example:
        >>> import torch
        >>> G = torch.tensor([[2.0, 0.0], [0.0, 4.0]])
        >>> B = torch.tensor([[2.0], [-4.0]])
        >>> least_squares_(torch.empty(2, 1), B, G, ridge=0.0)
        tensor([[ 1.],
                [-1.]])
    """
    G64 = G.double()
    mean = G64.diagonal().mean()
    mean = torch.where(mean > 1e-200, mean, 1.0)  # a Gram matrix of zeros gives W of zeros
    identity = torch.eye(G.shape[0], dtype=torch.float64, device=G.device)
    inverse = torch.linalg.inv(G64 / mean + ridge * identity)
    return torch.mm((inverse / mean).to(G.dtype), B, out=W)
