"""A small problem that stands for a large one: feature rows drawn with probability ∝ their squared norm.

f(F) = Σ_rows min_{w ≥ 0} ‖x − wF‖² is a sum over rows, so a row drawn with probability π and weighted by 1/√π
makes an unbiased estimate of it. Systematic sampling with a fixed offset is deterministic and keeps the same rows
while the norms barely move: the curve of consecutive epochs does not jitter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.distributed import Partition
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
    sampled = problem.partition.broadcast(systematic_sample(pi))
    by_block = []
    for columns in problem.global_columns:
        by_block.append(sampled[(sampled >= columns.start) & (sampled < columns.stop)])
    in_block = [index - columns.start for index, columns in zip(by_block, problem.global_columns)]
    gathered = problem.partition.gather_columns([block.samples for block in problem.blocks], in_block)
    parts: dict[bool, list[Tensor]] = {}
    for block, omega, index, gathered_columns in zip(problem.blocks, problem.omega, by_block, gathered):
        samples = gathered_columns.to(problem.prototype.device)
        weight = (omega * pi[index].rsqrt()).to(samples.dtype)
        parts.setdefault(block.signed, []).append(samples.mul_(weight))
    blocks = []
    for signed, samples_of_sign in parts.items():
        block = Block("sample", "activation", torch.cat(samples_of_sign, 1), (), signed)
        if block.samples.shape[1]:
            blocks.append(block)
    return CoupledProblem(blocks, "raw", Partition(problem.partition.chunk_size))
