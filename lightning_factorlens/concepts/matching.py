"""Which concept of one fit is which of another: an optimal assignment by the cosine of their factors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.linalg.matching import match_rows
from lightning_factorlens.results import ConceptBlock, Concepts

#: Cosine from which two factors are taken for the same concept.
SAME = 0.7


@dataclass(frozen=True, eq=False)
class ConceptMatches:
    """The partner of every concept of ``a`` among those of ``b``.

    Attributes:
        other: Index in ``b``, shape (rank of a,), int64; −1 for a concept without a partner: ``b`` has fewer concepts,
            or none of those that are left has anything in common with it, or nothing is left of it.
        cosine: Cosine of the two factors, shape (rank of a,), float64; 0 without a partner.
        by: What was compared: ``"F"``, the affinities of the same samples; or ``"W"``, the factors of the neurons.
    """

    other: Tensor
    cosine: Tensor
    by: str


def match_concepts(a: Concepts, b: Concepts) -> ConceptMatches:
    """Finds the one-to-one assignment of concepts with the largest sum of cosines.

    Concepts of the same samples are compared by their rows of F, whatever the networks are. Concepts of different
    samples are compared by their columns of W, in the blocks to which both were fitted, each block with the same
    weight: this needs one network, or two networks whose neurons correspond, such as two checkpoints of one run.

    Args:
        a: From `FactorLens.concepts`.
        b: From `FactorLens.concepts`; of any rank.

    Returns:
        For every concept of ``a`` its partner.

    Raises:
        ValueError: Different samples, and no block with the same neurons to which both were fitted.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> concepts = FactorLens(model).concepts(torch.rand(12, 6), rank=3)
        >>> match_concepts(concepts, concepts).other.tolist()
        [0, 1, 2]
    """
    if has_same_samples(a.inputs, b.inputs):
        other, cosine = match_rows(a.F, b.F)
        return ConceptMatches(other, cosine, "F")
    pairs = _common_blocks(a, b)
    if not pairs:
        raise ValueError(
            "b: it has other samples than a, and no block with the same neurons to which both were fitted, so that "
            "neither F nor W can be compared. Fit both with the same fit_on, or to the same samples."
        )
    other, cosine = match_rows(_columns([pair[0] for pair in pairs]), _columns([pair[1] for pair in pairs]))
    return ConceptMatches(other, cosine, "W")


def has_same_samples(a: Tensor, b: Tensor) -> bool:
    """Whether two probes have the same samples in the same order, wherever they lie; NaN is equal to NaN.

    Example:
        >>> has_same_samples(torch.ones(3, 2), torch.ones(3, 2)), has_same_samples(torch.ones(3, 2), torch.ones(2, 2))
        (True, False)
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    a, b = a.detach().cpu(), b.detach().cpu()
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _common_blocks(a: Concepts, b: Concepts) -> list[tuple[ConceptBlock, ConceptBlock]]:
    """The blocks with the same neurons to which both were fitted."""
    fitted = {block.name: block for block in b.blocks if block.is_fitted}
    pairs = []
    for block in a.blocks:
        other = fitted.get(block.name)
        if block.is_fitted and other is not None and _has_same_features(block, other):
            pairs.append((block, other))
    return pairs


def _has_same_features(a: ConceptBlock, b: ConceptBlock) -> bool:
    if a.shape != b.shape or a.W.shape[0] != b.W.shape[0]:
        return False
    if a.kept_features is None or b.kept_features is None:
        return a.kept_features is b.kept_features
    return torch.equal(a.kept_features, b.kept_features)


def _columns(blocks: list[ConceptBlock]) -> Tensor:
    """The columns of W of several blocks below each other, each block with the same norm, shape (rank, features)."""
    parts = []
    for block in blocks:
        norm = float(torch.linalg.matrix_norm(block.W)) or 1.0
        parts.append(block.W.T / norm)
    return torch.cat(parts, 1)
