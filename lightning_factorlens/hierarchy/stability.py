"""Which equivalence classes of a hierarchy are found again, in resamples of the images and in other networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice, check_int, is_number
from lightning_factorlens.hierarchy.incidence import class_shares, permute_labels, seeded_generator
from lightning_factorlens.hierarchy.nulls import sizes_and_sets, sizes_table
from lightning_factorlens.hierarchy.order import group_nodes
from lightning_factorlens.hierarchy.significance import Significance
from lightning_factorlens.results import HierarchyRecord, HierarchyStability, SeedAgreement

KINDS = ("bootstrap", "halves")


def resample(
    significance: Significance,
    labels: Tensor,
    p: float,
    n: int,
    seed: int,
    kind: str,
    permutations: int,
    level: float,
) -> HierarchyStability:
    """Resamples the images within their classes, see `Hierarchy.stability`."""
    check_int("n", n, 1)
    check_int("permutations", permutations, 0)
    check_choice("kind", kind, KINDS)
    if not is_number(level) or not 0 < level <= 1:
        raise ValueError(f"level: must be a number above 0 and at most 1, found {level!r}.")
    generator = seeded_generator(seed)
    sizes, survival, agreement = _resample_all(significance, labels, p, n, kind, generator)
    permuted = []
    for _ in range(permutations):
        shuffled = permute_labels(labels, generator)
        _, shares, _ = _resample_all(significance, shuffled, p, n, kind, generator)
        permuted.append(int((shares >= level).sum()))
    return HierarchyStability(kind, n, survival, agreement, sizes, tuple(permuted), level)


def seed_agreement(hierarchies: Sequence[HierarchyRecord], permutations: int = 200, seed: int = 0) -> SeedAgreement:
    """How far the sets of classes agree between networks, such as those of several seeds.

    Args:
        hierarchies: The hierarchy of the same layer and classes in each network, at least two.
        permutations: Number of permutations of the classes' names, the null.
        seed: Seed of the permutations.

    Raises:
        ValueError: Fewer than two hierarchies, other classes in some of them, or no permutation.
    """
    check_int("permutations", permutations, 1)
    if not isinstance(hierarchies, Sequence) or not all(isinstance(each, HierarchyRecord) for each in hierarchies):
        raise ValueError("hierarchies: must be a list of what hierarchy() returns, one for each network.")
    if len(hierarchies) < 2:
        raise ValueError(f"hierarchies: must be at least two, found {len(hierarchies)}; pass one for each seed.")
    names = hierarchies[0].class_names
    for other in hierarchies[1:]:
        if other.class_names != names:
            raise ValueError(
                f"hierarchies: must have the same classes, found {names!r:.100} and {other.class_names!r:.100}; pass "
                "the same images and labels for all."
            )
    families = [frozenset(frozenset(found.classes) for found in each.equivalence) for each in hierarchies]
    pairs = list(combinations(families, 2))
    observed = [_jaccard(first, second) for first, second in pairs]
    generator = seeded_generator(seed)
    chance = []
    for _ in range(permutations):
        indices = []
        for first, second in pairs:
            order = torch.randperm(len(names), generator=generator).tolist()
            renamed = frozenset(frozenset(order[index] for index in found) for found in second)
            indices.append(_jaccard(first, renamed))
        chance.append(_mean(indices))
    reached = sum(not value < _mean(observed) - 1e-12 for value in chance)  # the means may differ by rounding
    return SeedAgreement(tuple(observed), _mean(chance), (1 + reached) / (1 + permutations))


def _resample_all(
    significance: Significance, labels: Tensor, p: float, n: int, kind: str, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The sizes of n resamples, the survival of each equivalence class, and the agreement of the sets of classes."""
    n_classes = int(labels.max()) + 1
    shares = class_shares(significance.significant, labels, n_classes)
    sets, _ = group_nodes((shares >= p).numpy())
    found_again = torch.zeros(len(sets), dtype=torch.float64)
    all_sizes = []
    agreement = []
    for _ in range(n):
        rows = _draw(labels, kind, generator)
        sizes, family = sizes_and_sets(significance.rows(rows).significant, labels[rows], n_classes, p)
        all_sizes.append(sizes)
        agreement.append(_jaccard(frozenset(sets), family))
        for position, class_set in enumerate(sets):
            found_again[position] += class_set in family
    return sizes_table(all_sizes), found_again / n, torch.tensor(agreement, dtype=torch.float64)


def _draw(labels: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Positions of images drawn from every class, and from those without one."""
    drawn = []
    for label in labels.unique().tolist():
        images = (labels == label).nonzero()[:, 0]
        if kind == "bootstrap":
            chosen = torch.randint(len(images), (len(images),), generator=generator)
        else:
            half = (len(images) + 1) // 2
            chosen = torch.randperm(len(images), generator=generator)[:half]
        drawn.append(images[chosen])
    return torch.cat(drawn)


def _jaccard(first: frozenset[Any], second: frozenset[Any]) -> float:
    """Size of the intersection over that of the union; NaN for two empty families."""
    union = len(first | second)
    return len(first & second) / union if union else math.nan


def _mean(values: Sequence[float]) -> float:
    """The mean of the values that are not NaN; NaN if there is none."""
    found = [value for value in values if not math.isnan(value)]
    return sum(found) / len(found) if found else math.nan
