"""A hierarchy of singular vectors beside everything that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results.class_structure import ClassShare
from lightning_factorlens.results.hierarchy import HierarchyRecord, HierarchySizes
from lightning_factorlens.results.hierarchy_evidence import HierarchyStability, NullSizes
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True, eq=False, repr=False)
class HierarchyReport(Record, Plottable):
    """A hierarchy beside everything that it is compared with.

    Attributes:
        hierarchy: The hierarchy.
        permuted: Its sizes beside those with permuted labels.
        stability: How often its equivalence classes are found again.
        share: The between-class share of the signals' variance.
        untrained: The sizes of each untrained network, with the same images and labels.
        untrained_resamples: For each untrained network the sizes of its resamples, shape (networks, n, 3), float64.
        untrained_shares: The between-class share of each untrained network.
        statements: The consequences in words, a sentence each.
        warning: What the hierarchy cannot be told from; empty if there is no such thing.
    """

    hierarchy: HierarchyRecord
    permuted: NullSizes
    stability: HierarchyStability
    share: ClassShare
    untrained: tuple[HierarchySizes, ...]
    untrained_resamples: Tensor
    untrained_shares: tuple[float, ...]
    statements: tuple[str, ...]
    warning: str

    def values(self) -> Iterator[Value]:
        """The numbers of the hierarchy and the class share, with the mean sizes under permuted labels."""
        yield from self.hierarchy.values()
        yield from self.share.values()
        layer = self.hierarchy.layer
        yield Value("permuted_nodes", self.permuted.mean("nodes"), layer)
        yield Value("permuted_classes", self.permuted.mean("vector_classes"), layer)
        yield Value("permuted_depth", self.permuted.mean("depth"), layer)
        yield Value("stable_classes", self.stability.survivors, layer)

    def summary(self) -> str:
        """The statements, a line each."""
        return "\n".join(self.statements)

    def __repr__(self) -> str:
        stable = f"{self.stability.survivors} of {len(self.hierarchy.equivalence)} classes of vectors stable"
        return f"HierarchyReport({self.hierarchy!r}, {stable}{', ' if self.warning else ''}{self.warning})"

    def table(self) -> str:
        """The equivalence classes, see `HierarchyRecord.table`."""
        return self.hierarchy.table()
