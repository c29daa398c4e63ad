"""The hierarchy of a layer's singular vectors together with its images, so that it can be compared with its nulls."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from torch import Tensor

from lightning_factorlens.hierarchy.hasse import to_dot, to_networkx
from lightning_factorlens.hierarchy.nulls import permuted_sizes
from lightning_factorlens.hierarchy.significance import Significance
from lightning_factorlens.hierarchy.stability import resample
from lightning_factorlens.results import HierarchyRecord, HierarchyStability, NullSizes

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, eq=False, repr=False)
class Hierarchy(HierarchyRecord):
    """A hierarchy together with what it was made from, so that it can be compared with its nulls.

    Attributes:
        significance: Which nodes are significant for which images.
        labels: Position of each image's class in ``class_names``, −1 for none, shape (N,).
    """

    significance: Significance
    labels: Tensor

    @property
    def record(self) -> HierarchyRecord:
        """The hierarchy alone, without the images."""
        given = {field.name: getattr(self, field.name) for field in fields(HierarchyRecord)}
        return HierarchyRecord(**given)

    def null(self, n: int = 200, seed: int = 0) -> NullSizes:
        """The sizes when the labels of the images are permuted: classes have nothing to do with the signals then.

        Args:
            n: Number of permutations.
            seed: Seed of the permutations.

        Raises:
            ValueError: ``n`` is no positive number, or the hyperedges are images.
        """
        self._check_classes("null")
        return permuted_sizes(self.significance.significant, self.labels, self.p, n, seed)

    def stability(
        self, n: int = 40, seed: int = 0, kind: str = "bootstrap", permutations: int = 10, level: float = 0.95
    ) -> HierarchyStability:
        """How often each class of vectors is found again when the images are resampled within their classes.

        Every resample has its own quantile. The same is done with permuted labels.

        Args:
            n: Number of resamples.
            seed: Seed of all random numbers.
            kind: ``"bootstrap"``: as many images of every class, drawn with replacement; ``"halves"``: a random half of
                every class.
            permutations: Number of permutations of the labels; 0 for none.
            level: Share of the resamples from which a class of vectors counts as stable.

        Raises:
            ValueError: An argument is none of the above, or the hyperedges are images.
        """
        self._check_classes("stability")
        return resample(self.significance, self.labels, self.p, n, seed, kind, permutations, level)

    def _check_classes(self, what: str) -> None:
        if self.hyperedges == "images":
            raise ValueError(
                f"{what}: a hierarchy of images has no classes to permute or resample; pass classes to hierarchy()."
            )

    def to_networkx(self) -> networkx.DiGraph:
        """The Hasse diagram as a graph of networkx, see `hasse.to_networkx`."""
        return to_networkx(self)

    def to_dot(self) -> str:
        """The Hasse diagram in the language of Graphviz, see `hasse.to_dot`."""
        return to_dot(self)
