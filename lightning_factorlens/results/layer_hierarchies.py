"""The hierarchies of several layers in numbers, beside those of permuted classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

from lightning_factorlens.results.hierarchy import HierarchyRecord
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True)
class LayerHierarchy:
    """The hierarchy of one layer in numbers.

    The values under ``null_…`` are the 95 % quantiles of the same numbers with permuted classes: a number that is not
    above it cannot be told from chance.

    Attributes:
        layer: Name of the layer.
        significant_nodes: Sides of singular vectors that belong to at least one class.
        vector_classes: Equivalence classes of them.
        hierarchy_depth: Number of equivalence classes in the longest chain.
        undecided_memberships: Pairs of a class and a node for which the images do not suffice.
        class_share: Share of the signals' variance that lies between the classes, 0 for a single class; NaN where the
            signals do not vary.
        null_significant_nodes: As `significant_nodes`, with permuted classes.
        null_vector_classes: As `vector_classes`, with permuted classes.
        null_hierarchy_depth: As `hierarchy_depth`, with permuted classes.
        null_class_share: As `class_share`, with permuted classes.
    """

    layer: str
    significant_nodes: float
    vector_classes: float
    hierarchy_depth: float
    undecided_memberships: float
    class_share: float
    null_significant_nodes: float
    null_vector_classes: float
    null_hierarchy_depth: float
    null_class_share: float


@dataclass(frozen=True)
class LayerHierarchies(Record, Plottable):
    """The hierarchies of one observation in numbers.

    Attributes:
        layers: One entry for each layer, from input to output.
        predicted_classes: Number of classes that the model predicts for at least one sample.
        diagram: The hierarchy of the last layer before the output; None in histories.
    """

    layers: tuple[LayerHierarchy, ...]
    predicted_classes: int
    diagram: HierarchyRecord | None = field(default=None, compare=False)

    def __getitem__(self, layer: str) -> LayerHierarchy:
        for found in self.layers:
            if found.layer == layer:
                return found
        raise KeyError(f"no layer {layer!r}; the layers are {', '.join(repr(found.layer) for found in self.layers)}")

    @property
    def mean_class_share(self) -> float:
        """Mean of the layers' between-class shares; NaN where no layer has one."""
        return _mean([found.class_share for found in self.layers])

    @property
    def mean_null_class_share(self) -> float:
        """Mean of the same shares with permuted classes."""
        return _mean([found.null_class_share for found in self.layers])

    def values(self) -> Iterator[Value]:
        """The means over the layers, then the numbers of every layer."""
        yield Value("mean_class_share", self.mean_class_share)
        yield Value("mean_null_class_share", self.mean_null_class_share)
        yield Value("predicted_classes", self.predicted_classes)
        for found in self.layers:
            for number in fields(found):
                if number.name != "layer":
                    yield Value(number.name, getattr(found, number.name), found.layer)

    def without_tensors(self) -> LayerHierarchies:
        """A copy without the diagram."""
        return replace(self, diagram=None)


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
