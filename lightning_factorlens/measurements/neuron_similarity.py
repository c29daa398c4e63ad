"""Whether two components of the factorisation use the same neurons of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_factorlens.concepts.similarity import layer_similarities
from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.plots.similarity import similarity_figure
from lightning_factorlens.results import LayerSimilarities


@dataclass(frozen=True)
class NeuronSimilarity(Measurement):
    """Cosines between the columns of every layer's factor; see `lightning_factorlens.concepts.similarity`."""

    name: ClassVar[str] = "neuron_similarity"
    needs: ClassVar[frozenset[str]] = frozenset({"factorization"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "similarity_mean_cosine",
            "{prefix}_similarity/{scope}/mean_cosine",
            "Mean cosine between the neurons of two components.",
            chart="neuron similarity of the first, middle and last layer, mean cosine",
            detail="layers",
            reading="0: every component has neurons of its own; 1: all components share the same neurons.",
        ),
        Scalar(
            "similarity_mean_top_k",
            "{prefix}_similarity/{scope}/mean_top_k",
            "Mean of the k largest eigenvalues of those cosines, k being half the rank.",
            reading="1: every component has neurons of its own.",
            detail="all",
        ),
    )
    figures: ClassVar[tuple[FigureSpec, ...]] = (
        FigureSpec(
            "similarity",
            similarity_figure,
            "Which components use the same neurons, layer by layer. A bright diagonal alone means that none do.",
        ),
    )

    def measure(self, context: Context) -> LayerSimilarities:
        """Compares the columns of the factors of the middle rank."""
        return LayerSimilarities(layer_similarities(context.factorization))
