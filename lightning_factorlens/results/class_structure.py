"""What the classes have to do with the signals of a layer: their share of the variance, and a grouping of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True, eq=False, repr=False)
class ClassShare(ShortRepr, Record):
    """The between-class share of the variance of a layer's signals.

    Attributes:
        layer: Name of the layer.
        share: Sum of squares between classes over the total sum of squares, over all vectors; from 0 to 1. NaN where
            the signals do not vary.
        by_vector: The between-class share of each vector alone, shape (r,), float64.
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

    def summary(self, untrained: Sequence[float] = ()) -> str:
        """The share beside permuted labels and untrained networks, in a sentence.

        Args:
            untrained: The shares of untrained networks with the same images and classes.
        """
        if math.isnan(self.share):
            return "The signals do not vary."
        text = (
            f"{100 * self.share:.0f} % of the variance of the signals lies between the classes (permuted labels "
            f"{100 * self.expected:.1f} %, p = {self.p_value:.2g})"
        )
        if not untrained:
            return f"{text}."
        found = ", ".join(f"{100 * value:.0f} %" for value in untrained)
        reached = sum(not value < self.share for value in untrained)
        more = f", as much or more in {reached} of {len(untrained)}" if reached else ""
        return f"{text}; untrained weights give {found}{more}."


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

    def summary(self) -> str:
        """The correlation and its p-value, in a sentence."""
        if math.isnan(self.correlation):
            return "The classes' mean signals do not vary."
        compared = "all" if self.is_exact else "a random sample of"
        return (
            f"The leading class mode of {self.layer or 'the model'}, {100 * self.mode_share:.0f} % of the variance "
            f"between the classes, has a correlation of {self.correlation:.2f} with the grouping "
            f"(p = {self.p_value:.2g} among {compared} {self.n_groupings} groupings of these sizes)."
        )
