"""What a hierarchy of singular vectors is compared with: permuted labels, resamples, untrained weights, seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.hierarchy import HierarchySizes
from lightning_factorlens.results.record import Record

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

    def summary(self) -> str:
        """The mean sizes with permuted labels and the p-values, in a sentence."""
        sizes = ", ".join(f"{self.mean(size):.1f} {name}" for size, name in SIZES.items())
        p_values = ", ".join(f"{p:.2g}" for p in self.p_values)
        return (
            f"Permuted labels give {sizes} on average over {len(self.permuted)} permutations; p = {p_values}, "
            f"corrected for three tests {self.p_value:.2g}."
        )


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

    def summary(self) -> str:
        """How many equivalence classes survive, and how many do with permuted labels, in a sentence."""
        drawn = "with replacement" if self.kind == "bootstrap" else "a half of each class"
        text = (
            f"{self.survivors} of {len(self.survival)} classes of vectors survive {100 * self.level:g} % of "
            f"{self.n} resamples of the images ({drawn}, within classes)"
        )
        if not self.permuted_survivors:
            return f"{text}."
        mean = sum(self.permuted_survivors) / len(self.permuted_survivors)
        return f"{text}; a permuted labelling gives {mean:.2g}."


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
        """The mean over the pairs of which at least one has a set of classes; NaN if there is none."""
        found = [value for value in self.jaccard if not math.isnan(value)]
        return sum(found) / len(found) if found else math.nan

    def summary(self) -> str:
        """The mean agreement beside chance, in a sentence."""
        if math.isnan(self.mean):
            return "No network has a set of classes, so there is nothing to compare."
        text = f"The sets of classes agree between networks with a mean Jaccard index of {self.mean:.2f}"
        return f"{text} (permuted names of the classes {self.chance:.2f}, p = {self.p_value:.2g})."
