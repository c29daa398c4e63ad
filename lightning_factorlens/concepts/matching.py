"""Which concept of one fit is which of another: an optimal assignment by the cosine of their factors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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


def match_rows(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Assigns the rows of one matrix to those of another, such that the sum of the cosines is largest.

    Args:
        A: Shape (r, n).
        B: Shape (s, n).

    Returns:
        Index of the partner of each row of A, shape (r,), int64, −1 for none; and their cosine, shape (r,), float64, 0
        for none. Rows without a positive cosine are not partners.

    Example:
        >>> other, cosine = match_rows(torch.eye(3), torch.eye(3)[[2, 0]])
        >>> other.tolist(), cosine.tolist()
        ([1, -1, 0], [1.0, 0.0, 1.0])
    """
    from scipy.optimize import linear_sum_assignment

    cosines = unit_rows(A) @ unit_rows(B).T
    rows, columns = linear_sum_assignment(-cosines.numpy())
    other = torch.full((len(A),), -1, dtype=torch.int64)
    other[torch.from_numpy(rows)] = torch.from_numpy(columns)
    cosine = cosines.gather(1, other.clamp_min(0)[:, None])[:, 0]
    is_matched = (other >= 0) & (cosine > 0)
    return other.where(is_matched, -1), cosine.where(is_matched, 0.0)


def order_like(A: Tensor, B: Tensor) -> Tensor:
    """The rows of B in the order of those rows of A that they match; those without a partner take the free places.

    Args:
        A: Shape (r, n).
        B: Shape (r, n).

    Example:
        >>> order_like(torch.eye(3), torch.tensor([[0.0, 0, 5], [1, 0, 0], [0, 0, 0]])).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]]
    """
    order, _ = match_rows(A, B)
    is_free = torch.ones(len(B), dtype=torch.bool)
    is_free[order[order >= 0]] = False
    order[order < 0] = is_free.nonzero()[:, 0]
    return B[order.to(B.device)]


def unit_rows(A: Tensor) -> Tensor:
    """The rows with norm 1, in float64 on the CPU; a row of zeros stays as it is.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = A.detach().cpu().double()
    rows = rows / rows.abs().amax(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    return torch.nn.functional.normalize(rows, dim=1)


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
