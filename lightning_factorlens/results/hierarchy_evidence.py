"""What a hierarchy of singular vectors is compared with: permuted labels, resamples, untrained weights, seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.hierarchy import HierarchySizes
from lightning_factorlens.results.record import Record, Value

#: The sizes of a hierarchy, by the names of their fields and in words.
SIZES = {"nodes": "nodes", "vector_classes": "classes of vectors", "depth": "depth"}


@dataclass(frozen=True, eq=False, repr=False)
class NullSizes(ShortRepr, Record):
    """The sizes of hierarchies in which classes and signals have nothing to do with each other.

    Attributes:
        observed: The sizes of the hierarchy itself.
        permuted: The sizes with every permutation of the images' labels, in the order of `SIZES`, shape (n, 3),
            float64.
        p_values: For each of the three sizes, in the order of `SIZES`, the probability that a permutation gives one as
            large: (1 + number of those that do) / (1 + number of permutations).
    """

    observed: HierarchySizes
    permuted: Tensor
    p_values: tuple[float, float, float]

    @property
    def p_value(self) -> float:
        """The smallest of the three, times their number (Bonferroni)."""
        return min(1.0, len(self.p_values) * min(self.p_values))

    def mean(self, size: str) -> float:
        """The mean of a size over the permutations, by the name of its field."""
        return float(self.permuted[:, list(SIZES).index(size)].mean())


@dataclass(frozen=True, eq=False, repr=False)
class HierarchyStability(ShortRepr, Record):
    """How often each equivalence class is found again when the images are resampled.

    A class of vectors survives a resample if a class of vectors there belongs to the same set of image classes. The
    order between two that survive is found again too, since it depends on the sets alone.

    Attributes:
        kind: ``"bootstrap"``: as many images of every class are drawn with replacement; ``"halves"``: a random half of
            the images of every class.
        n: Number of resamples.
        survival: Share of the resamples that each equivalence class survives, shape (equivalence classes,), float64.
        agreement: Jaccard index of the sets of classes of the hierarchy and of each resample, shape (n,); NaN where
            both have none.
        sizes: The sizes of each resample, in the order of `SIZES`, shape (n, 3), float64.
        permuted_survivors: For each of several permutations of the labels the number of equivalence classes of its
            hierarchy that survive a share `level` of its own resamples.
        level: The share of the resamples from which a class of vectors counts as stable.
    """

    kind: str
    n: int
    survival: Tensor
    agreement: Tensor
    sizes: Tensor
    permuted_survivors: tuple[int, ...]
    level: float

    @property
    def survivors(self) -> int:
        """Number of equivalence classes that survive a share `level` of the resamples."""
        return int((self.survival >= self.level).sum())

    @property
    def mean_agreement(self) -> float:
        """The mean Jaccard index; NaN where neither the hierarchy nor a resample has an equivalence class."""
        return float(self.agreement.nanmean())


@dataclass(frozen=True)
class SeedAgreement(Record):
    """How far the sets of classes of several networks agree, such as those of several seeds.

    Attributes:
        jaccard: Jaccard index of the sets of classes of each pair of networks.
        chance: The mean Jaccard index of the same pairs after permutations of the classes' names in one of them.
        p_value: Probability that permuted names agree as well on average.
    """

    jaccard: tuple[float, ...]
    chance: float
    p_value: float

    @property
    def mean(self) -> float:
        """The mean over pairs."""
        return sum(self.jaccard) / len(self.jaccard)


@dataclass(frozen=True, eq=False, repr=False)
class ClassShare(ShortRepr, Record):
    """The between-class share of the variance of a layer's signals.

    Attributes:
        layer: Name of the layer.
        share: Sum of squares between classes over the total sum of squares, over all vectors; from 0 to 1. NaN where
            the signals do not vary.
        by_vector: The same for each vector, shape (r,), float64.
        expected: The mean over all permutations of the labels, (classes − 1) / (images − 1).
        permuted: The shares with permuted labels, shape (permutations,), float64; empty where the signals do not vary.
        p_value: Probability that a permutation gives as much.
    """

    layer: str
    share: float
    by_vector: Tensor
    expected: float
    permuted: Tensor
    p_value: float

    def values(self) -> Iterator[Value]:
        """The share, in the scope of the layer."""
        yield Value("class_share", self.share, self.layer)


@dataclass(frozen=True)
class SemanticStructure(Record):
    """Whether the classes' mean signals are divided first of all as a grouping of the classes says.

    Attributes:
        layer: Name of the layer.
        class_names: Names of the classes.
        groups: The group of each class.
        mode: The leading class mode: for each class its place on the direction in which the classes' means vary most.
        mode_share: Share of the variance between the classes' means that the leading mode has.
        correlation: Correlation ratio of the mode with the grouping; with two groups the |r| of the two.
        p_value: Share of the groupings of the same sizes whose correlation is at least as large.
        n_groupings: Number of groupings compared.
        is_exact: Whether these are all; otherwise they are a random sample.
    """

    layer: str
    class_names: tuple[str, ...]
    groups: tuple[str, ...]
    mode: tuple[float, ...]
    mode_share: float
    correlation: float
    p_value: float
    n_groupings: int
    is_exact: bool
