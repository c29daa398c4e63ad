"""A small problem that stands for a large one: feature rows drawn with probability ∝ their squared norm.

f(F) = Σ_rows min_{w ≥ 0} ‖x − wF‖² is a sum over rows, so a row drawn with probability π and weighted by 1/√π
makes an unbiased estimate of it. Systematic sampling with a fixed offset is deterministic and keeps the same rows
while the norms barely move: the curve of consecutive epochs does not jitter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.results import Block


def inclusion_probabilities(norms_sq: Tensor, size: int) -> Tensor:
    """π ∝ ‖row‖², capped at 1, summing to at most ``size``.

    Args:
        norms_sq: Shape (m,).
        size: Rows wanted.

    Returns:
        Shape (m,), float64.
    """
    p = norms_sq.double()
    pi = (size * p / p.sum()).clamp_max(1)
    for _ in range(3):  # rows at the cap give their surplus to the others
        free = pi < 1
        room = size - int((~free).sum())
        pi[free] = (pi[free] * (room / pi[free].sum().clamp_min(1e-300))).clamp_max(1)
    return pi


def systematic_sample(pi: Tensor) -> Tensor:
    """Indices of a systematic sample with inclusion probabilities ``pi`` and offset ½."""
    total = pi.cumsum(0)
    ticks = torch.arange(0.5, float(total[-1]), dtype=torch.float64, device=pi.device)
    return torch.searchsorted(total, ticks).clamp_max(len(pi) - 1)


def sampled_problem(problem: CoupledProblem, size: int) -> CoupledProblem:
    """The problem on ``size`` of its feature rows, reweighted to estimate the whole.

    Args:
        problem: The whole.
        size: Rows to keep, well below ``problem.m``.

    Returns:
        A problem with one dense block for the non-negative rows and one for the signed, if any.
    """
    pi = inclusion_probabilities(problem.row_norms_sq(), size)
    chosen, spans = problem.broadcast(systematic_sample(pi)), problem.column_slices()
    inside = [chosen[(chosen >= c.start) & (chosen < c.stop)] for c in spans]
    picked = problem.gather_columns([index - c.start for index, c in zip(inside, spans)])
    parts: dict[bool, list[Tensor]] = {}
    for block, omega, index, samples in zip(problem.blocks, problem.omega, inside, picked):
        weight = (omega * pi[index].rsqrt()).to(samples.dtype)
        parts.setdefault(block.signed, []).append(samples.mul_(weight))
    blocks = [Block("sample", "activation", torch.cat(p, 1), (), signed) for signed, p in parts.items()]
    return CoupledProblem([b for b in blocks if b.samples.shape[1]], "raw")
