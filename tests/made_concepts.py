"""Concepts of given factors, without a model."""

import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import normalize

from lightning_factorlens.results import Block, ConceptBlock, Concepts


def make_concepts(F, blocks=(), inputs=None, predictions=None, features=None, probabilities=None):
    """Concepts with this F and blocks (name, kind, shape, W) or (name, kind, shape, W, kept_features)."""
    made = []
    for name, kind, shape, W, *kept in blocks:
        made.append(ConceptBlock(name, kind, shape, kept[0] if kept else None, W.double(), 0.5, kind == "activation"))
    n_samples = F.shape[1]
    return Concepts(
        rank=F.shape[0],
        F=F,
        blocks=tuple(made),
        fit_on="late",
        rel_error=0.5,
        inputs=torch.zeros(n_samples, 1, 4, 4) if inputs is None else inputs,
        features=F.T.double() if features is None else features.double(),
        predictions=predictions,
        status="every rank converged",
        probabilities=probabilities,
    )


def image_concepts(pixels, inputs=None):
    """Concepts whose latent images are ``pixels``, shape (rank, C, H, W)."""
    rank, channels, height, width = pixels.shape
    blocks = []
    for channel in range(channels):
        W = pixels[:, channel].reshape(rank, -1).T
        blocks.append((f"input/{channel}", "input", (height, width), W))
    if inputs is None:
        inputs = torch.rand(5, channels, height, width, generator=torch.Generator().manual_seed(0))
    return make_concepts(torch.rand(rank, len(inputs)), blocks, inputs)


def planted(rank=4, N=60, seed=0):
    """Images and three layers of one sparse sample factor; the first layer and the pixels also hold much of another."""
    g = torch.Generator().manual_seed(seed)

    def sparse(*shape):
        return torch.rand(*shape, generator=g) * (torch.rand(*shape, generator=g) < 0.35)

    F = sparse(rank, N)
    nuisance = sparse(3, N)
    early = (sparse(40, rank) @ F + 3 * sparse(40, 3) @ nuisance).T.contiguous()
    pixels = (sparse(36, rank) @ F + 3 * sparse(36, 3) @ nuisance).T.reshape(N, 1, 6, 6)
    late = [(sparse(m, rank) @ F).T.contiguous() for m in (30, 25)]
    layers = [Block(f"relu{i}", "activation", X, (X.shape[1],)) for i, X in enumerate([early, *late])]
    return F, pixels, layers


def lowest_cosine(found, expected):
    cosine = normalize(found, dim=1) @ normalize(expected, dim=1).T
    rows, columns = linear_sum_assignment(-cosine.numpy())
    return float(cosine[rows, columns].min())
