"""A small problem in place of a large one: feature rows, sampled with probability proportional to their squared norm.

f(F) = Σ_rows min_{w ≥ 0} ‖x − wF‖² is a sum over rows, so rows sampled with probability π and weighted by 1/√π give an
unbiased estimate of it. Systematic sampling with a fixed offset is deterministic and selects the same rows as long as
the norms change little, so that the curves of consecutive epochs do not fluctuate. The rows of each block are shuffled
first, always in the same way: in their own order, periodic rows of equal norm, such as the checkerboard of a strided
deconvolution, would be sampled at one phase of their period.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.results import Block


def inclusion_probabilities(norms_sq: Tensor, size: int) -> Tensor:
    """Computes π ∝ ‖row‖², at most 1 each and at most ``size`` in total.

    Args:
        norms_sq: Squared norms of the rows, shape (features,).
        size: Number of rows to sample.

    Returns:
        Shape (features,), float64.

    Example:
        >>> inclusion_probabilities(torch.tensor([1.0, 1.0, 2.0]), size=1)
        tensor([0.2500, 0.2500, 0.5000], dtype=torch.float64)
    """
    norms_sq = norms_sq.double()
    pi = (size * norms_sq / norms_sq.sum()).clamp_max(1)
    for _ in range(3):  # what rows lose to the limit of 1 is distributed over the others
        below_limit = pi < 1
        remaining = size - int((~below_limit).sum())
        pi[below_limit] = (pi[below_limit] * (remaining / pi[below_limit].sum().clamp_min(1e-300))).clamp_max(1)
    return pi


def systematic_sample(pi: Tensor, order: Tensor) -> Tensor:
    """Returns the ascending indices of a systematic sample with inclusion probabilities ``pi`` and offset ½.

    Args:
        pi: Shape (features,), each at most 1.
        order: The order in which the features are passed, shape (features,).

    Example:
        >>> systematic_sample(torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64), order=torch.tensor([2, 1, 0]))
        tensor([1, 2])
    """
    cumulative = pi[order].cumsum(0)
    ticks = torch.arange(0.5, float(cumulative[-1]), dtype=torch.float64, device=pi.device)
    positions = torch.searchsorted(cumulative, ticks).clamp_max(len(pi) - 1)
    return order[positions].sort().values


@lru_cache(maxsize=4)
def shuffled_order(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns a fixed permutation of the features within each block; cached, since every fit of a run uses the same.

    Args:
        lengths: Number of features of each block.
        device: Device of the result.

    Returns:
        Shape (features,); the blocks keep their order, so that each is sampled in proportion to its energy.

    Example:
        >>> order = shuffled_order((2, 3), torch.device("cpu"))
        >>> sorted(order[:2].tolist()), sorted(order[2:].tolist())
        ([0, 1], [2, 3, 4])
    """
    generator = torch.Generator().manual_seed(0)
    parts = []
    first = 0
    for length in lengths:
        parts.append(first + torch.randperm(length, generator=generator))
        first += length
    return torch.cat(parts).to(device)


def sampled_problem(problem: CoupledProblem, size: int) -> CoupledProblem:
    """Returns the problem on some of its feature rows, weighted such that its objective estimates that of all rows.

    Args:
        problem: The problem with all feature rows, perhaps distributed over several processes.
        size: Number of rows to sample, well below ``problem.features``.

    Returns:
        A problem that every process holds: one dense block of the rows of non-negative blocks and one of those of
        signed blocks, if there are any.
    """
    partition = problem.partition
    pi = inclusion_probabilities(problem.row_norms_sq(), size)
    order = shuffled_order(tuple(problem.feature_counts), pi.device)
    sampled = partition.broadcast(systematic_sample(pi, order))
    indices = []
    indices_in_block = []
    for columns in problem.global_columns:
        index = sampled[(sampled >= columns.start) & (sampled < columns.stop)]
        indices.append(index)
        indices_in_block.append(index - columns.start)
    gathered = partition.gather_columns(problem.samples, indices_in_block)
    samples_by_sign: dict[bool, list[Tensor]] = {}
    for block, omega, index, block_samples in zip(problem.blocks, problem.omega, indices, gathered):
        samples = block_samples.to(problem.prototype.device)
        weight = (omega * pi[index].rsqrt()).to(samples.dtype)
        samples_by_sign.setdefault(block.signed, []).append(samples.mul_(weight))
    blocks = []
    for signed, parts in samples_by_sign.items():
        samples = torch.cat(parts, 1)
        if samples.shape[1]:
            blocks.append(Block("sample", "activation", samples, (), signed))
    return CoupledProblem(blocks, "raw", Partition(partition.chunk_size))
