"""The exact test of a mean directional derivative against random sets of images, and its correction.

The mean of k numbers of a concept's top images is compared with the means of as many of the same numbers, drawn without
replacement. If the images of the concept are a random set, every p-value is exact (Phipson and Smyth, 2010,
"Permutation p-values should never be zero").
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Means of random sets that are compared at once.
CHUNK = 2**20
#: Fewest and most random sets unless a number is given, and how many there are for each test.
FEWEST = 10_000
MOST = 200_000
DRAWS_PER_TEST = 40
#: Relative difference below which two means count as equal.
TOLERANCE = 1e-9


def default_draws(n_tests: int) -> int:
    """A number of random sets with which the smallest corrected p-value is 1/40, as far as that takes 200,000 at most.

    Example:
        >>> default_draws(10), default_draws(1800), default_draws(10**6)
        (10000, 72000, 200000)
    """
    return min(max(FEWEST, DRAWS_PER_TEST * n_tests), MOST)


def random_sets(n_samples: int, count: int, draws: int, seed: int) -> Tensor:
    """Sets of different images, each set with the same probability (Floyd's algorithm: Bentley and Floyd, 1987).

    Args:
        n_samples: Number of images N.
        count: Number of images in a set, at most N.
        draws: Number of sets.
        seed: Seed of the draw; the global random state is left alone.

    Returns:
        Positions, shape (draws, count).

    Example:
        >>> random_sets(3, 3, 1, seed=0).sort().values.tolist()
        [[0, 1, 2]]
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.empty(count, draws, dtype=torch.int64)
    for position, last in enumerate(range(n_samples - count, n_samples)):
        drawn = torch.randint(last + 1, (draws,), generator=generator)
        is_taken = (chosen[:position] == drawn).any(0)
        chosen[position] = torch.where(is_taken, last, drawn)
    return chosen.T.contiguous()


def permutation_p_values(numbers: Tensor, means: Tensor, count: int, draws: int, seed: int) -> Tensor:
    """Two-sided p-values of means of ``count`` numbers.

    Args:
        numbers: One number for each image, with the mean 0 in every row, shape (rows, N), float64.
        means: Means over sets of images, shape (rows, concepts).
        count: Number of images in each set.
        draws: Number of random sets B, the same for all rows.
        seed: Seed of the draw.

    Returns:
        (1 + number of random sets whose mean is as far from 0) / (1 + B), shape (rows, concepts).

    Example:
        >>> numbers = torch.tensor([[3.0, -1.0, -1.0, -1.0]], dtype=torch.float64)
        >>> p = permutation_p_values(numbers, torch.tensor([[3.0, -1.0]]).double(), 1, 10_000, seed=0)
        >>> abs(float(p[0, 0]) - 1 / 4) < 0.02, float(p[0, 1])
        (True, 1.0)
    """
    n_concepts = means.shape[1]
    thresholds, order = (means.abs() * (1 - TOLERANCE)).sort(1)
    at_least = thresholds.new_zeros(len(means), n_concepts + 1)
    by_image = numbers.T.contiguous()
    sets = random_sets(numbers.shape[1], count, draws, seed).to(numbers.device)
    for part in sets.split(max(CHUNK // max(len(numbers), 1), 1)):
        null = (torch.nn.functional.embedding_bag(part, by_image, mode="sum") / count).abs().T.contiguous()
        below = torch.searchsorted(thresholds, null, right=True)  # number of thresholds that the random mean reaches
        at_least.scatter_add_(1, below, torch.ones_like(null))
    # A random mean that reaches j of the ascending thresholds reaches the first j of them.
    reached = at_least.flip(1).cumsum(1).flip(1)[:, 1:]
    p = (1 + reached) / (1 + draws)
    return torch.empty_like(p).scatter_(1, order, p)


def holm(p_values: Tensor) -> Tensor:
    """Corrects p-values for their number by Holm's step-down method, valid for tests that depend on each other.

    Holm (1979), "A simple sequentially rejective multiple test procedure".

    Args:
        p_values: Any shape; NaN is no test.

    Returns:
        The corrected p-values, of the same shape: rejecting those at most α makes one wrong rejection or more with a
        probability of at most α.

    Example:
        >>> holm(torch.tensor([0.01, 0.04, 0.03, torch.nan])).tolist()
        [0.029999999329447746, 0.05999999865889549, 0.05999999865889549, nan]
    """
    found = p_values.flatten()
    tested = found.isfinite().nonzero()[:, 0]
    ascending, order = found[tested].sort()
    factors = torch.arange(len(tested), 0, -1, device=found.device)
    corrected = found.clone()
    if len(tested):
        corrected[tested[order]] = (ascending * factors).cummax(0).values.clamp_max(1)
    return corrected.view(p_values.shape)
