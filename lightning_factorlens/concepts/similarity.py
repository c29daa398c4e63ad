"""Neuron similarity: whether two components of the factorisation use the same neurons of a layer.

Saini and Papalexakis (2021), "Analyzing representations inside convolutional neural networks", section 4.1.2: the
cosine between the columns of the neuron factor O_j, layer by layer (their figure 2), and the mean of the first K
eigenvalues of that matrix (figure 3). Where every component has neurons of its own, the matrix is the identity and the
mean is 1; where all use the same neurons, the first eigenvalue is the rank and all others are 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.results import Concepts, Factorization, LayerSimilarity


def column_cosine(factor: Tensor) -> Tensor:
    """Cosine between the columns of a factor.

    Args:
        factor: O_j, shape (neurons, r), or a batch of them (…, neurons, r).

    Returns:
        Shape (…, r, r), float64, exactly symmetric, with a diagonal of exactly 1. A column of zeros uses no neuron, so
        that its cosine with every other column is 0. All cosines of a column with NaN or infinity are NaN.

    Example:
        >>> column_cosine(torch.tensor([[1.0, 1.0], [0.0, 1.0]])).round(decimals=4)
        tensor([[1.0000, 0.7071],
                [0.7071, 1.0000]], dtype=torch.float64)
    """
    # Dividing by the largest entry first keeps the squares of very small or large activations in the float's range.
    columns = factor.detach().double()
    largest = columns.abs().amax(dim=-2, keepdim=True)
    columns = columns / largest.where(largest > 0, 1.0)
    norms = columns.norm(dim=-2, keepdim=True)
    columns = columns / norms.where(norms > 0, 1.0)
    cosine = (columns.mT @ columns).clamp(-1, 1)
    cosine = (cosine + cosine.mT) / 2
    diagonal = cosine.diagonal(dim1=-2, dim2=-1)
    diagonal.masked_fill_(~diagonal.isnan(), 1.0)
    return cosine


def similarity_spectrum(cosine: Tensor) -> Tensor:
    """Eigenvalues of a similarity matrix, largest first; their mean is always 1.

    Args:
        cosine: Shape (…, r, r), symmetric.

    Returns:
        Shape (…, r). All NaN for a matrix that holds NaN or infinity.

    Example:
        >>> similarity_spectrum(torch.ones(2, 2)).round(decimals=4)
        tensor([2., 0.])
    """
    finite = cosine.isfinite().all(-1).all(-1)
    # LAPACK rejects the whole batch if one matrix holds NaN.
    eigenvalues = torch.linalg.eigvalsh(cosine.where(finite[..., None, None], 0.0)).flip(-1)
    return eigenvalues.where(finite[..., None], math.nan)


def first_k_mean(eigenvalues: Tensor, k: int) -> float:
    """Mean of the k largest eigenvalues; k is explicit, since the mean of all is always 1.

    Args:
        eigenvalues: Shape (r,), largest first.
        k: Number of eigenvalues, from 1 to r.

    Returns:
        The mean.

    Raises:
        ValueError: ``k`` below 1 or above r.

    Example:
        >>> first_k_mean(torch.tensor([1.5, 0.5]), k=1)
        1.5
    """
    check_int("k", k, 1)
    if k > len(eigenvalues):
        raise ValueError(
            f"k: there are {len(eigenvalues)} eigenvalues, found k = {k}; give a number from 1 to {len(eigenvalues)}."
        )
    return float(eigenvalues[:k].mean())


def layer_similarities(factorization: Factorization, k: int | None = None) -> tuple[LayerSimilarity, ...]:
    """The similarity of every activation block at the middle rank, which the figures show too.

    Args:
        factorization: As `fit` returns it. Blocks ``input/…`` hold pixels, not neurons, and are left out.
        k: Number of eigenvalues that are averaged; None for half of them.

    Returns:
        One record for each block, in the factorisation's order. The means of a block whose factor is zero are NaN: no
        component uses any of its neurons.
    """
    position = len(factorization.ranks) // 2
    rank = factorization.ranks[position]
    if k is None:
        k = max(1, rank // 2)
    found = []
    for name, factor in zip(factorization.block_names, factorization.W[position]):
        if not name.startswith("input/"):
            found.append(_layer_similarity(name, factor, k))
    return tuple(found)


def concept_similarities(concepts: Concepts) -> tuple[LayerSimilarity, ...]:
    """Which concepts share the neurons of each layer, with half of the rank as k.

    Args:
        concepts: From `FactorLens.concepts`.

    Returns:
        One record for each layer, by depth; see `layer_similarities`.
    """
    k = max(1, concepts.rank // 2)
    return tuple(_layer_similarity(block.name, block.W, k) for block in concepts.layers())


def _layer_similarity(name: str, factor: Tensor, k: int) -> LayerSimilarity:
    """The record of one block with the factor ``factor``, shape (neurons, rank)."""
    rank = factor.shape[1]
    cosine = column_cosine(factor).cpu()
    eigenvalues = similarity_spectrum(cosine)
    mean_cosine = math.nan
    mean_top_k = math.nan
    is_dead = not bool(factor.any())
    if not is_dead:
        mean_top_k = first_k_mean(eigenvalues, k)
    if rank > 1 and not is_dead:
        mean_cosine = float(cosine.sum() - rank) / (rank * (rank - 1))
    return LayerSimilarity(name, rank, cosine, eigenvalues, mean_cosine, k, mean_top_k)
