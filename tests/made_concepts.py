"""Concepts of given factors, without a model."""

import torch

from lightning_factorlens.results import ConceptBlock, Concepts


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
