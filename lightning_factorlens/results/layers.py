"""Which layers an observation covers, and how much their components overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True)
class LayerInfo:
    """One row of the table of layers: a tensor that a forward pass produced, and whether it is factorised.

    Attributes:
        name: Stable name of the call: the module's path, followed by ``-2``, ``-3`` … when one module is called
            again; ``F.relu`` behind the owner's path for a functional call.
        op: Type of the module, or the function's name.
        shape: Shape of the output for one sample.
        minimum: Smallest value found in the trace that is not NaN; NaN if all are.
        selected: Whether the lens factorises it.
        reason: Why, in words.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    minimum: float
    selected: bool
    reason: str


@dataclass(frozen=True)
class LayerSimilarity:
    """Which components of the factorisation use the same neurons of a layer.

    Attributes:
        layer: Name of the block.
        rank: Rank of the factorisation, which is also the size of the matrix.
        cosine: Cosine between the columns of O_j, shape (rank, rank), float64, on the CPU.
        eigenvalues: Its eigenvalues, descending, shape (rank,).
        mean_cosine: Mean of the cosines of distinct components; NaN at rank 1 and for a layer whose factor is zero.
        k: Number of eigenvalues that enter ``mean_top_k``.
        mean_top_k: Mean of the k largest eigenvalues: 1 when no two components share a neuron; NaN for a layer whose
            factor is zero.
    """

    layer: str
    rank: int
    cosine: Tensor
    eigenvalues: Tensor
    mean_cosine: float
    k: int
    mean_top_k: float


@dataclass(frozen=True)
class LayerSimilarities(Record, Plottable):
    """The similarity of every activation block.

    Attributes:
        layers: One entry for each block, by depth.
    """

    layers: tuple[LayerSimilarity, ...]

    def values(self) -> Iterator[Value]:
        """Mean cosine and mean leading eigenvalue of every layer."""
        for similarity in self.layers:
            yield Value("similarity_mean_cosine", similarity.mean_cosine, similarity.layer, similarity.rank)
            yield Value("similarity_mean_top_k", similarity.mean_top_k, similarity.layer, similarity.rank)

    def without_tensors(self) -> LayerSimilarities:
        """A copy without the cosine matrices."""
        layers = []
        for similarity in self.layers:
            layers.append(replace(similarity, cosine=similarity.cosine.new_empty(0)))
        return LayerSimilarities(tuple(layers))

    def condensed(self) -> LayerSimilarities:
        """A copy without layers: the record has no number of the whole network."""
        return LayerSimilarities(())
