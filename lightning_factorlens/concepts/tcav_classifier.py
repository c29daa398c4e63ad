"""The concept vectors of Kim et al.: normals of linear classifiers that tell top images from random images.

Kim, Wattenberg, Gilmer, Cai, Wexler, Viegas and Sayres (2018), "Interpretability beyond feature attribution:
quantitative testing with concept activation vectors (TCAV)", section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Weight α of the penalty, as in the authors' own program.
PENALTY = 0.01
MAX_STEPS = 100
#: Largest slope of the objective that counts as zero.
TOLERANCE = 1e-10


def classifier_weights(Gram: Tensor, targets: Tensor) -> Tensor:
    """Logistic regression of groups of images, fitted through their inner products, so that the width does not matter.

    Minimises mean(log(1 + exp(−y (w·x + b)))) + α/2 ‖w‖² over w and b by Newton's method with halved steps. The minimum
    has w = Xᵀβ with Σβ = 0.

    Args:
        Gram: X Xᵀ of every group, shape (groups, n, n), float64.
        targets: y, 1 or −1, shape (n,).

    Returns:
        β, shape (groups, n).

    Example:
        >>> X = torch.tensor([[[2.0], [0.0]]], dtype=torch.float64)
        >>> beta = classifier_weights(X @ X.mT, torch.tensor([1.0, -1.0]))
        >>> bool(beta[0, 0] > 0), abs(float(beta.sum())) < 1e-9
        (True, True)
    """
    n = len(targets)
    y = targets.to(Gram)
    beta = Gram.new_zeros(len(Gram), n)
    bias = Gram.new_zeros(len(Gram), 1)
    value = _objective(Gram, y, beta, bias)
    for _ in range(MAX_STEPS):
        d_beta, d_bias, slope = _newton_step(Gram, y, beta, bias)
        if float(slope) < TOLERANCE:
            break
        length = Gram.new_ones(len(Gram), 1)
        for _ in range(30):
            tried = _objective(Gram, y, beta + length * d_beta, bias + length * d_bias)
            rises = tried > value + 1e-14
            if not bool(rises.any()):
                break
            length = torch.where(rises[:, None], length / 2, length)
        beta = beta + length * d_beta
        bias = bias + length * d_bias
        if not bool((tried < value).any()):
            break
        value = tried
    return beta


def _objective(Gram: Tensor, y: Tensor, beta: Tensor, bias: Tensor) -> Tensor:
    """The objective of every group, shape (groups,)."""
    w_x = (Gram @ beta[:, :, None])[:, :, 0]
    loss = torch.nn.functional.softplus(-y * (w_x + bias)).mean(1)
    return loss + PENALTY / 2 * (beta * w_x).sum(1)


def _newton_step(Gram: Tensor, y: Tensor, beta: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The changes of β and b, and the largest slope.

    With f = w·x + b, the residual is r = α n β − y σ(−y f), and S = σ(f)(1 − σ(f)). The step solves
    (S K + α n I) Δβ + S Δb = −r and Σ(β + Δβ) = 0.
    """
    groups, n = beta.shape
    f = (Gram @ beta[:, :, None])[:, :, 0] + bias
    residual = PENALTY * n * beta - y * torch.sigmoid(-y * f)
    S = torch.sigmoid(f) * torch.sigmoid(-f)
    system = Gram.new_zeros(groups, n + 1, n + 1)
    system[:, :n, :n] = S[:, :, None] * Gram
    system[:, :n, :n].diagonal(dim1=1, dim2=2).add_(PENALTY * n)
    system[:, :n, n] = S
    system[:, n, :n] = 1
    right = torch.cat([-residual, -beta.sum(1, keepdim=True)], 1)
    step = torch.linalg.solve(system, right)
    slope = torch.maximum(residual.abs().amax(), beta.sum(1).abs().amax())
    return step[:, :n], step[:, n:], slope
