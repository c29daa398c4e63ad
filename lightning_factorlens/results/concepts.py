"""Concepts of a probe: one latent space of its images, their pixels and a model's neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.factorization import BlockKind
from lightning_factorlens.results.plottable import PlottableAsPage


@dataclass(frozen=True, eq=False, repr=False)
class ConceptBlock(ShortRepr):
    """The factor of one input channel or layer.

    Attributes:
        name: Name of the block, e.g. ``input/0`` or ``features.1``.
        kind: Whether it is an input channel or the activations of a layer.
        shape: Shape of one sample's features before flattening, e.g. (H, W) or (C, H, W).
        kept_features: Indices of the rows of ``W`` among the features of ``shape``, ascending; None for all of them.
        W: The factor in the block's own units, shape (features, rank), float64.
        rel_error: ‖X − W F‖ / ‖X‖; NaN for a block of zeros.
        is_fitted: Whether F was fitted to this block. The other blocks were joined afterwards.
    """

    name: str
    kind: BlockKind
    shape: tuple[int, ...]
    kept_features: Tensor | None
    W: Tensor
    rel_error: float
    is_fitted: bool


@dataclass(frozen=True, eq=False)
class Concepts(PlottableAsPage):
    """What `FactorLens.concepts` finds, for the functions of `lightning_factorlens.concepts`.

    All tensors are on the CPU. Concept k is row k of F with column k of every W. Letters as in `results.factorization`.

    Attributes:
        rank: Number of concepts r.
        F: Affinity of every sample to every concept, shape (r, N), non-negative; its rows have unit norm unless the
            solver has penalties. A row of zeros is a concept of which nothing is left.
        blocks: The input channels, then the layers by depth.
        fit_on: The argument ``fit_on``.
        rel_error: Relative error of all blocks, each with the same weight; NaN if all are zero.
        inputs: The samples, shape (N, …).
        features: One vector per sample from the last layer that is not zero, shape (N, channels), float64: the layer's
            captured neurons, averaged over the positions of each channel.
        predictions: The predicted class of every sample, shape (N,), −1 where the outputs are not finite; None where
            the model's output is not read as class scores.
        status: Whether the fit converged and, if not, which option to change.
        probabilities: The predicted probability of every class, shape (N, classes), float64, 0 in rows where the
            outputs are not finite; None as for the predictions.
    """

    rank: int
    F: Tensor
    blocks: tuple[ConceptBlock, ...]
    fit_on: str | tuple[str, ...]
    rel_error: float
    inputs: Tensor
    features: Tensor
    predictions: Tensor | None
    status: str
    probabilities: Tensor | None = None

    def __getitem__(self, name: str) -> ConceptBlock:
        for block in self.blocks:
            if block.name == name:
                return block
        names = ", ".join(repr(block.name) for block in self.blocks)
        advice = "; functions such as top_images take the number of a concept" if isinstance(name, int) else ""
        raise KeyError(f"no block {name!r}; the blocks are {names}{advice}")

    def __repr__(self) -> str:
        fitted = [block.name for block in self.blocks if block.is_fitted]
        return (
            f"Concepts(rank={self.rank}, samples={self.F.shape[1]}, fitted on {', '.join(fitted)}, "
            f"{len(self.blocks) - len(fitted)} blocks joined, relative error {self.rel_error:.3f})"
        )

    def layers(self) -> Iterator[ConceptBlock]:
        """The blocks of activations, by depth."""
        for block in self.blocks:
            if block.kind == "activation":
                yield block

    def input_blocks(self) -> Iterator[ConceptBlock]:
        """The blocks of the inputs."""
        for block in self.blocks:
            if block.kind == "input":
                yield block
