"""What concepts are compared with: clusters, components and neighbours of the same activations, and single layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import normalize

from lightning_factorlens.concepts import name_concepts
from lightning_factorlens.concepts.clarity import commonest_share
from lightning_factorlens.factorization import factorize
from lightning_factorlens.results import Block, Concepts

TOP = 16
NEIGHBOURS = 30
#: Finds the top images of clusters or components, shape (components, TOP), given features, their number and a seed.
Grouping = Callable[[Tensor, int, int], Tensor]


def joined(layers: Sequence[Block]) -> Tensor:
    """The layers side by side, each with the same energy, shape (N, features)."""
    return torch.cat([layer.samples.double() / layer.samples.double().norm() for layer in layers], 1)


def purity_of(concepts: Concepts, labels: Tensor) -> float:
    """Mean purity of the top images."""
    return float(name_concepts(concepts, labels, count=TOP)["labels"].purity.nanmean())


def top_purity(top: Tensor, labels: Tensor) -> float:
    """Mean share of the commonest class in each row of images, shape (components, TOP)."""
    return float(commonest_share(labels[top]).mean())


def kmeans_top(X: Tensor, rank: int, seed: int) -> Tensor:
    """The images nearest to each centre of cosine k-means."""
    rows = normalize(X, dim=1)
    centres = KMeans(rank, n_init=3, random_state=seed).fit(rows.float().numpy()).cluster_centers_
    cosine = normalize(torch.from_numpy(centres).double(), dim=1) @ rows.T
    return cosine.argsort(dim=1, descending=True, stable=True)[:, :TOP]


def pca_top(X: Tensor, rank: int, _: int) -> Tensor:
    """The images at the longer end of each principal component."""
    centred = X - X.mean(0)
    U = torch.linalg.eigh(centred @ centred.T)[1]
    scores = U.flip(1).T[:rank]
    longer = torch.where(scores.amax(1) >= -scores.amin(1), 1.0, -1.0)
    return (scores * longer[:, None]).argsort(dim=1, descending=True, stable=True)[:, :TOP]


def sample_factors(blocks: Sequence[Block], ranks: Sequence[int]) -> list[Tensor]:
    """F of some blocks alone at every rank, each shape (rank, N), by the product's own factorisation."""
    return [F.cpu() for F in factorize(blocks, ranks).F]


def strongest(F: Tensor) -> Tensor:
    """The top images of each row, shape (rank, TOP)."""
    return F.argsort(dim=1, descending=True, stable=True)[:, :TOP]


def nearest(features: Tensor) -> Tensor:
    """The nearest images of every image by the cosine of features, without itself."""
    rows = normalize(features, dim=1)
    cosine = (rows @ rows.T).fill_diagonal_(-2)
    return cosine.argsort(dim=1, descending=True, stable=True)[:, :NEIGHBOURS]


def same_class(indices: Tensor, labels: Tensor) -> float:
    """Share of the neighbours that have the class of their image."""
    return float((labels[indices] == labels[:, None]).double().mean())


def spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation over the entries that both have; NaN where one of them is constant."""
    both = a.isfinite() & b.isfinite()
    if len(a[both].unique()) < 2 or len(b[both].unique()) < 2:
        return math.nan
    return float(spearmanr(a[both].numpy(), b[both].numpy())[0])


def concordance(a: Tensor, b: Tensor) -> float:
    """Share of the pairs with different b that have their a in the same order; pairs of equal a count as a half.

    Unlike a rank correlation it reaches 1 where many entries of b are equal. NaN where all are.
    """
    both = a.isfinite() & b.isfinite()
    higher = b[both, None] > b[both]
    difference = (a[both, None] - a[both])[higher]
    return float(((difference > 0).double() + 0.5 * (difference == 0)).mean())
