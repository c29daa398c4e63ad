"""Observations from known numbers: every value is different, so that a swapped tag cannot hide."""

import math

import pytest
import torch

from lightning_factorlens.results import (
    AlphaSummary,
    Factorization,
    LayerSimilarity,
    LayerSpectrum,
    Observation,
    PowerLawFit,
    RankCurve,
    RequiredRank,
)

RANKS = (1, 2, 4, 8, 16, 32)
BLOCKS = ("input/0", "layer1", "layer10", "layer1.0.conv-2", "head/F.relu")
SCOPES = ("total", "inputs", "activations", *BLOCKS)


def rank_curve(start, decay, ranks=RANKS):
    rel = tuple(start * decay**k for k in range(len(ranks)))
    return RankCurve(ranks, tuple(3 * e for e in rel), rel, tuple(e * e for e in rel))


def power_law(name, alpha, n=64, n_tail=40, seed=0):
    """Eigenvalues at the quantiles of a power law above 1, the rest evenly below it."""
    tail = (1 - (torch.arange(n_tail, dtype=torch.float64) + 0.5) / n_tail) ** (-1 / (alpha - 1))
    tail[0] = 1.0
    bulk = torch.linspace(0.05, 0.95, n - n_tail, dtype=torch.float64)
    values = torch.cat([bulk, tail]).sort().values
    fit = PowerLawFit(alpha, (alpha - 1) / math.sqrt(n_tail), 1.0, 0.05 + seed / 1000, n_tail, n)
    return LayerSpectrum(name, "w1", (n, 4 * n), values, float(values[-1]), fit)


def abstaining(name):
    fit = PowerLawFit(math.nan, math.nan, math.nan, math.nan, 0, 3, "3 eigenvalues are too few (need 10)")
    return LayerSpectrum(name, "w1", (3, 9), torch.tensor([0.0, 0.4, 2.0]).double(), math.nan, fit)


def strokes(size, rank, seed):
    """Smooth blobs, so that a latent image can be told by eye."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    at, wide = torch.rand(2, rank, generator=g), 0.08 + 0.15 * torch.rand(rank, generator=g)
    blobs = [torch.exp(-((x - at[0, k]) ** 2 + (y - at[1, k]) ** 2) / wide[k] ** 2) for k in range(rank)]
    return torch.stack([b.flatten() for b in blobs], dim=1)


#: Of the hidden blocks: one whole, one of whose features a budget kept every third, two without places.
SHAPES = {"layer1": (3, 4, 4), "layer10": (6, 8, 8), "layer1.0.conv-2": (5,), "head/F.relu": (7,)}
KEPT = {"layer10": torch.arange(0, 6 * 8 * 8, 3)}


def hidden(name, rank):
    rows = len(KEPT[name]) if name in KEPT else math.prod(SHAPES[name])
    return torch.rand(rows, rank, generator=torch.Generator().manual_seed(rows + rank))


def factorization(channels=1, n=24, size=12):
    inputs = tuple(f"input/{c}" for c in range(channels))
    names = inputs + BLOCKS[1:]
    F, W = [], []
    for rank in RANKS:
        f = torch.rand(rank, n, generator=torch.Generator().manual_seed(rank)) ** 4
        F.append(f / f.norm(dim=1, keepdim=True))
        pixels = [strokes(size, rank, c) * (1 + torch.arange(rank)) for c in range(channels)]
        W.append((*pixels, *(hidden(name, rank) for name in BLOCKS[1:])))
    sse, ones = torch.ones(len(RANKS), len(names), dtype=torch.float64), (1.0,) * len(names)
    objective = tuple(0.5**k for k in range(len(RANKS)))
    shapes = tuple((size, size) if name in inputs else SHAPES[name] for name in names)
    index = tuple(KEPT.get(name) for name in names)
    return Factorization(
        RANKS, tuple(F), tuple(W), sse, names, ones, objective, ((0.5,),) * 6, 7, "converged", shapes, index
    )


def similarity(name, off, rank=8):
    """All components share the same part of their neurons; eigenvalues in closed form."""
    cosine = torch.full((rank, rank), off, dtype=torch.float64).fill_diagonal_(1.0)
    eigenvalues = torch.full((rank,), 1 - off, dtype=torch.float64)
    eigenvalues[0] = 1 + (rank - 1) * off
    return LayerSimilarity(name, rank, cosine, eigenvalues, off, 4, float(eigenvalues[:4].mean()))


def observation_of(epoch=3, channels=1, size=12, **changes):
    curves = {s: rank_curve(0.9 * 0.99**epoch - 0.01 * k, 0.72 - 0.01 * k) for k, s in enumerate(SCOPES)}
    fact = factorization(channels, size=size)
    k = fact.ranks.index(8)
    images = torch.stack([(w @ fact.F[k]).T.reshape(-1, size, size) for w in fact.W[k][:channels]], dim=1)
    spectra = (
        power_law("layer1", 2.5),
        power_law("layer10", 3.5, seed=1),
        abstaining("stem"),
        power_law("", 4.0),
    )
    defaults = {
        "epoch": epoch,
        "step": 100 * epoch + 7,
        "curves": curves,
        "svd_curves": {s: rank_curve(0.8 * 0.99**epoch - 0.01 * k, 0.68 - 0.01 * k) for k, s in enumerate(SCOPES)},
        "required_ranks": (RequiredRank(0.3, 9.25, False), RequiredRank(0.125, 32.0, True)),
        "effective_rank": {s: 20.5 + k for k, s in enumerate(SCOPES)},
        "rms": {s: 1.25 + k for k, s in enumerate(SCOPES)},
        "consistency": 0.4375,
        "spectra": spectra,
        "alpha": AlphaSummary(3.0, 7.5, 2.25, 0.75, 3, 1),
        "seconds": {"forward": 0.25, "factorise": 1.0, "metrics": 0.5, "total": 1.75},
        "overhead": 0.0625,
        "images": images,
        "factorization": fact,
        "similarity": tuple(similarity(name, 0.6 - 0.1 * k) for k, name in enumerate(BLOCKS[1:])),
    }
    return Observation(**(defaults | changes))


@pytest.fixture
def observe():
    return observation_of


@pytest.fixture
def law():
    return power_law
