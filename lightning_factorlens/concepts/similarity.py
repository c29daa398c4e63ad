"""Neuron similarity: do two components of the factorisation fire the same neurons of a layer?

Saini and Papalexakis, "Analyzing representations inside convolutional neural networks" (2021), section 4.1.2: cosine
between the columns of the neuron factor O_j, layer by layer (their figure 2), and the mean of the first K eigenvalues
of that matrix (figure 3). Where every component has neurons of its own the matrix is the identity and the mean is 1;
where all share the same neurons the first eigenvalue is the rank and all others are 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.results import Factorization, LayerSimilarity


def column_cosine(factor: Tensor) -> Tensor:
    """Cosine between the columns of a factor.

    Args:
        factor: O_j, shape (neurons, r), or a batch of them (…, neurons, r); finite.

    Returns:
        Shape (…, r, r), float64: symmetric to the bit, its diagonal exactly 1. A column of zeros uses no neuron, so
        its cosine with every other is 0.
    """
    # The largest entry is taken out first: squares of very small or large activations would leave the float's range.
    columns = factor.detach().double()
    largest = columns.abs().amax(dim=-2, keepdim=True)
    columns = columns / largest.where(largest > 0, 1.0)
    norms = columns.norm(dim=-2, keepdim=True)
    columns = columns / norms.where(norms > 0, 1.0)
    cosine = (columns.mT @ columns).clamp(-1, 1)
    cosine = (cosine + cosine.mT) / 2
    cosine.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return cosine


def similarity_spectrum(cosine: Tensor) -> Tensor:
    """Eigenvalues of a similarity matrix, largest first; their mean is always 1.

    Args:
        cosine: Shape (…, r, r), symmetric.

    Returns:
        Shape (…, r).
    """
    return torch.linalg.eigvalsh(cosine).flip(-1)


def first_k_mean(eigenvalues: Tensor, k: int) -> float:
    """Mean of the k largest eigenvalues (paper 001, figure 3); k is explicit, since the mean of all is always 1.

    Args:
        eigenvalues: Shape (r,), largest first.
        k: 1 to r.

    Raises:
        ValueError: Another k.
    """
    check_int("k", k, 1)
    if k > len(eigenvalues):
        raise ValueError(f"k: there are {len(eigenvalues)} eigenvalues, found k = {k}; give one from 1 to that.")
    return float(eigenvalues[:k].mean())


def layer_similarities(factorization: Factorization, k: int | None = None) -> tuple[LayerSimilarity, ...]:
    """The similarity of every activation block at the middle rank, at which the pictures stand too.

    Args:
        factorization: As `fit` returns it. Blocks ``input/…`` hold pixels, not neurons, and are passed over.
        k: Eigenvalues averaged; None for half of them.

    Returns:
        One record a block, in its order.
    """
    at = len(factorization.ranks) // 2
    rank = factorization.ranks[at]
    k = max(1, rank // 2) if k is None else k
    found = []
    for name, factor in zip(factorization.block_names, factorization.W[at]):
        if name.startswith("input/"):
            continue
        cosine = column_cosine(factor).cpu()
        eigenvalues = similarity_spectrum(cosine)
        off = float(cosine.sum() - rank) / (rank * (rank - 1)) if rank > 1 else math.nan
        found.append(LayerSimilarity(name, rank, cosine, eigenvalues, off, k, first_k_mean(eigenvalues, k)))
    return tuple(found)
