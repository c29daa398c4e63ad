"""The hierarchy of a layer's singular vectors: which belong to which classes, and the order by inclusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.results._text import align_table
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value

#: Largest number of classes that a table names in a row.
MAX_NAMED = 12


@dataclass(frozen=True)
class VectorClass:
    """Nodes that belong to the same classes, an equivalence class of equation 17.

    Attributes:
        nodes: Positions of its nodes in the hierarchy's ``nodes``.
        classes: Positions of their classes in the hierarchy's ``class_names``.
        level: Number of equivalence classes in the longest chain that ends here from above; 1 at the top.
        is_decided: Whether at least one of its nodes has no undecided class.
    """

    nodes: tuple[int, ...]
    classes: tuple[int, ...]
    level: int
    is_decided: bool


@dataclass(frozen=True)
class HierarchySizes:
    """The sizes of a hierarchy.

    Attributes:
        nodes: Number of nodes that belong to at least one class.
        vector_classes: Number of equivalence classes.
        depth: Number of equivalence classes in the longest chain.
    """

    nodes: int
    vector_classes: int
    depth: int


@dataclass(frozen=True, eq=False, repr=False)
class HierarchyRecord(Record, Plottable):
    """The hypergraph of a layer with its classes as hyperedges, and the semantic hierarchy that it induces.

    Praggastis et al. (2022), "The SVD of convolutional weights: a CNN interpretability framework", section 5. A node is
    one side of a singular vector. Nodes that belong to no class and are undecided for none are left out.

    Attributes:
        layer: Name of the layer.
        q: Quantile of the signals above which a node is significant for an image.
        p: Share of the images of a class from which a node belongs to the class.
        confidence: Probability with which an interval holds the share.
        scope: Whether the quantile is that of the whole ``"layer"`` or of each ``"vector"``.
        sides: Whether nodes are ``"both"`` sides of each vector, or ``"one"``.
        hyperedges: ``"classes"``, or ``"images"``: then each image is a class of its own, whose shares are exact.
        n_vectors: Number of singular vectors of the layer.
        n_undetermined: Number of them that share their singular value with others: they can be rotated among each
            other, and their memberships with them.
        class_names: Names of the classes that have images.
        class_counts: Number of images of each class.
        nodes: Singular vector and side (1 or −1) of each node.
        shares: Share of the images of each class for which each node is significant, shape (classes, nodes), float64.
        lower: Lower ends of the shares' Wilson intervals, of the same shape.
        upper: Upper ends.
        equivalence: The equivalence classes, those of more classes first.
        hasse: The Hasse diagram: pairs (general, special) of positions in `equivalence`.
    """

    layer: str
    q: float
    p: float
    confidence: float
    scope: str
    sides: str
    hyperedges: str
    n_vectors: int
    n_undetermined: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    nodes: tuple[tuple[int, int], ...]
    shares: Tensor
    lower: Tensor
    upper: Tensor
    equivalence: tuple[VectorClass, ...]
    hasse: tuple[tuple[int, int], ...]

    @property
    def incidence(self) -> Tensor:
        """Whether each node belongs to each class by its share, bool, shape (classes, nodes)."""
        return self.shares >= self.p

    @property
    def verdict(self) -> Tensor:
        """1 for a member, −1 for none, 0 where the interval holds p from both sides; int8, shape (classes, nodes)."""
        return (self.lower >= self.p).to(torch.int8) - (self.upper < self.p).to(torch.int8)

    @property
    def undecided(self) -> int:
        """Number of pairs of a class and a node that are undecided."""
        return int((self.verdict == 0).sum())

    @property
    def memberships(self) -> int:
        """Number of pairs of a class and a node that belongs to it."""
        return int(self.incidence.sum())

    @property
    def depth(self) -> int:
        """Number of equivalence classes in the longest chain; 0 where there are none."""
        return max((found.level for found in self.equivalence), default=0)

    @property
    def order(self) -> frozenset[tuple[int, int]]:
        """All pairs (general, special) of positions in `equivalence`: the first has all classes of the second."""
        above: list[set[int]] = [set() for _ in self.equivalence]
        for general, special in sorted(self.hasse, key=lambda edge: edge[1]):  # a general one precedes a special one
            above[special] |= above[general] | {general}
        return frozenset((general, special) for special, found in enumerate(above) for general in found)

    @property
    def class_sets(self) -> frozenset[frozenset[str]]:
        """The sets of classes that the equivalence classes belong to, by their names."""
        sets = []
        for found in self.equivalence:
            sets.append(frozenset(self.class_names[position] for position in found.classes))
        return frozenset(sets)

    @property
    def sizes(self) -> HierarchySizes:
        """Number of nodes that belong to a class, of equivalence classes, and the depth."""
        n_nodes = sum(len(found.nodes) for found in self.equivalence)
        return HierarchySizes(n_nodes, len(self.equivalence), self.depth)

    def node_name(self, node: int) -> str:
        """The name of a node as in the paper, with its side where there are two, such as ``"v3+"``."""
        vector, side = self.nodes[node]
        mark = ""
        if self.sides == "both":
            mark = "+" if side > 0 else "−"
        return f"v{vector}{mark}"

    def __repr__(self) -> str:
        sizes = self.sizes
        parts = f"{sizes.nodes} nodes, {sizes.vector_classes} classes of vectors, depth {sizes.depth}"
        return f"{type(self).__name__}({self.layer!r}, {len(self.class_names)} {self.hyperedges}, {parts})"

    def values(self) -> Iterator[Value]:
        """The sizes and the number of undecided pairs, in the scope of the layer."""
        sizes = self.sizes
        yield Value("significant_nodes", sizes.nodes, self.layer)
        yield Value("vector_classes", sizes.vector_classes, self.layer)
        yield Value("hierarchy_depth", sizes.depth, self.layer)
        yield Value("undecided_memberships", self.undecided, self.layer)

    def table(self) -> str:
        """The equivalence classes, one row each: a node, the number of nodes, the level, and the classes.

        Returns:
            Text of several lines.
        """
        rows = []
        for found in self.equivalence:
            names = [self.class_names[position] for position in found.classes]
            verdict = "decided" if found.is_decided else "undecided"
            row = (self.node_name(found.nodes[0]), str(len(found.nodes)), str(found.level), verdict, _listed(names))
            rows.append(row)
        return "\n".join(align_table(("node", "nodes", "level", "interval", self.hyperedges), rows, right=(1, 2)))

    def summary(self) -> str:
        """The sizes and the number of undecided pairs in a sentence."""
        sizes = self.sizes
        n_images = sum(self.class_counts)
        sides = "sides of " if self.sides == "both" else ""
        text = (
            f"{self.layer or 'The model'}: {sizes.nodes} {sides}{self.n_vectors} singular vectors are significant, in "
            f"{sizes.vector_classes} classes of vectors of depth {sizes.depth} (q = {self.q:g}, p = {self.p:g}, "
            f"{n_images} images in {len(self.class_names)} classes)"
        )
        if self.hyperedges == "images":
            return f"{text}."
        text += f"; {self.memberships} memberships, {self.undecided} undecided at {100 * self.confidence:g} %."
        if self.n_undetermined:
            text += f" {self.n_undetermined} vectors share their singular value with others, up to rounding."
        return text


def _listed(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    if len(names) <= MAX_NAMED:
        return ", ".join(names)
    return ", ".join(names[:MAX_NAMED]) + f" and {len(names) - MAX_NAMED} more"
