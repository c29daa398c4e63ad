"""Whether the leading class mode of the signals agrees with a grouping of the classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_type
from lightning_factorlens.hierarchy.class_share import class_means
from lightning_factorlens.hierarchy.incidence import seeded_generator
from lightning_factorlens.results import SemanticStructure, Signals

#: Largest number of groupings that are all compared.
MAX_EXACT = 20_000
#: Difference below which two correlations count as equal.
TOLERANCE = 1e-9


def semantic_structure(
    signals: Signals,
    classes: Tensor | Sequence[int | str],
    groups: Mapping[int | str, str],
    permutations: int = 9999,
    seed: int = 0,
) -> SemanticStructure:
    """The correlation of the leading class mode with a grouping of the classes, and its permutation test.

    The leading class mode is the first left singular vector of the matrix of the classes' mean signals, less their mean
    over classes: the first distinction that a network learns, in the theory of Saxe, McClelland and Ganguli (2019), "A
    mathematical theory of semantic development in deep neural networks". It does not depend on the singular vectors'
    signs. The null hypothesis is that the grouping is any of its sizes; for 10 classes in groups of 4 and 6 there are
    210. The mean pixels of the images, and an untrained network, may well agree with a grouping too: compare them.

    Args:
        signals: The signals of a layer; other features of the images, such as their pixels, as a `Signals` as well.
        classes: The class of each image, see `hierarchy`.
        groups: The group of each class, by the class as it stands in ``classes``; a known grouping, or the one that
            `leading_split` finds in other images, another layer or another network.
        permutations: Number of random groupings where there are more than 20,000.
        seed: Seed of the random groupings.

    Returns:
        The mode, its correlation, and the test.

    Raises:
        ValueError: A class has no group, all have the same, or as `class_share`.

    Example:
        >>> values = torch.tensor([[1.0], [1.2], [-1.0], [-1.3]])
        >>> signals = Signals("fc", values, s=torch.ones(1), group=torch.zeros(1))
        >>> animals = {"cat": "animal", "dog": "animal", "car": "vehicle", "bus": "vehicle"}
        >>> found = semantic_structure(signals, ["cat", "dog", "car", "bus"], animals)
        >>> round(found.correlation, 2), found.n_groupings, round(found.p_value, 2)
        (0.99, 6, 0.33)
    """
    check_type("signals", signals, Signals, "pass one of the layers of FactorLens.signals")
    check_type("groups", groups, Mapping, "pass a dictionary with the group of each class")
    check_int("permutations", permutations, 1)
    means, names = class_means(signals, classes)
    group_names, indices = _group_indices(names, groups)
    mode, mode_share = _leading_mode(means)
    observed = float(_correlations(mode, indices[None], len(group_names))[0])
    sizes = indices.bincount(minlength=len(group_names)).tolist()
    count = _number_of_groupings(sizes)
    is_exact = count <= MAX_EXACT
    if is_exact:
        compared = torch.tensor(list(_groupings(sizes)))
    else:
        generator = seeded_generator(seed)
        compared = torch.stack([indices[torch.randperm(len(names), generator=generator)] for _ in range(permutations)])
    reached = int((_correlations(mode, compared, len(group_names)) >= observed - TOLERANCE).sum())
    extra = 0 if is_exact else 1
    p_value = math.nan if math.isnan(observed) else (reached + extra) / (len(compared) + extra)
    of_classes = tuple(group_names[index] for index in indices.tolist())
    return SemanticStructure(
        signals.layer, names, of_classes, tuple(mode.tolist()), mode_share, observed, p_value, len(compared), is_exact
    )


def leading_split(signals: Signals, classes: Tensor | Sequence[int | str]) -> dict[str, str]:
    """The two groups into which the leading class mode divides the classes: a grouping to be tested on other signals.

    Args:
        signals: The signals of a layer.
        classes: The class of each image, see `hierarchy`.

    Returns:
        ``"first"`` or ``"second"`` for each class by its name; the first class belongs to the first group.

    Raises:
        ValueError: As `class_share`.

    Example:
        >>> signals = Signals("fc", torch.tensor([[1.0], [1.2], [-1.0]]), s=torch.ones(1), group=torch.zeros(1))
        >>> leading_split(signals, ["cat", "dog", "car"])
        {'car': 'first', 'cat': 'second', 'dog': 'second'}
    """
    means, names = class_means(signals, classes)
    mode, _ = _leading_mode(means)
    is_positive = mode > 0
    return {name: "first" if side == is_positive[0] else "second" for name, side in zip(names, is_positive)}


def _group_indices(names: Sequence[str], groups: Mapping[int | str, str]) -> tuple[list[str], Tensor]:
    """The names of the groups, sorted, and the group of each class."""
    by_name = {str(found): str(group) for found, group in groups.items()}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise ValueError(f"groups: must name a group for every class, none found for {', '.join(missing):.200}.")
    group_names = sorted({by_name[name] for name in names})
    if len(group_names) < 2:
        raise ValueError(
            f"groups: the {len(names)} classes of the images must be in at least two groups, found {group_names}."
        )
    return group_names, torch.tensor([group_names.index(by_name[name]) for name in names])


def _leading_mode(means: Tensor) -> tuple[Tensor, float]:
    """The leading left singular vector of the centered means, and its share of their variance; NaN without variance."""
    centered = means - means.mean(0)
    eigenvalues, vectors = torch.linalg.eigh(centered @ centered.T)
    total = float(eigenvalues.clamp_min(0).sum())
    if total <= 0:
        return torch.full((len(means),), math.nan, dtype=torch.float64), math.nan
    return vectors[:, -1], float(eigenvalues[-1]) / total


def _correlations(mode: Tensor, groupings: Tensor, n_groups: int) -> Tensor:
    """Correlation ratio of the mode with each grouping; groupings have the shape (groupings, classes)."""
    centered = mode - mode.mean()
    between = torch.zeros(len(groupings), dtype=torch.float64)
    for group in range(n_groups):
        belongs = (groupings == group).double()
        between += (belongs @ centered).square() / belongs.sum(1)
    return (between / centered.square().sum()).sqrt()


def _number_of_groupings(sizes: Sequence[int]) -> int:
    count = 1
    free = sum(sizes)
    for size in sizes:
        count *= math.comb(free, size)
        free -= size
    return count


def _groupings(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Every way to put the classes into groups of these sizes, as the group of each class."""
    last = len(sizes) - 1

    def fill(group: int, free: tuple[int, ...], placed: list[int]) -> Iterator[list[int]]:
        """The groupings in which the positions that are free belong to this group and the later ones."""
        chosen_sets = combinations(free, sizes[group]) if group < last else [free]
        for chosen in chosen_sets:
            filled = list(placed)
            for position in chosen:
                filled[position] = group
            if group == last:
                yield filled
            else:
                yield from fill(group + 1, tuple(place for place in free if place not in chosen), filled)

    yield from fill(0, tuple(range(sum(sizes))), [0] * sum(sizes))
