"""Observations from known numbers: every value is different, so that a swapped tag is found."""

import math

import torch

from lightning_factorlens.measurements import RankAtError, default_measurements
from lightning_factorlens.results import (
    AlphaSummary,
    Cost,
    Factorization,
    LayerSimilarities,
    LayerSimilarity,
    LayerSpectra,
    LayerSpectrum,
    Observation,
    PowerLawFit,
    RankCurve,
    RankCurves,
    RequiredRank,
    RequiredRanks,
    Scalars,
    ScopedScalar,
)

RANKS = (1, 2, 4, 8, 16, 32)
BLOCKS = ("input/0", "layer1", "layer10", "layer1.0.conv-2", "head/F.relu")
SCOPES = ("total", "inputs", "activations", *BLOCKS)
#: Shapes of the hidden blocks. A feature budget kept every third feature of one; two have no positions.
SHAPES = {"layer1": (3, 4, 4), "layer10": (6, 8, 8), "layer1.0.conv-2": (5,), "head/F.relu": (7,)}
KEPT = {"layer10": torch.arange(0, 6 * 8 * 8, 3)}

#: The measurements that make such observations: the default ones with other thresholds.
MEASUREMENTS = [
    RankAtError((0.3, 0.125)) if measurement.name == "required_rank" else measurement
    for measurement in default_measurements()
]


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


def spectrum_without_fit(name):
    fit = PowerLawFit(math.nan, math.nan, math.nan, math.nan, 0, 3, "3 eigenvalues are too few (need 10)")
    return LayerSpectrum(name, "w1", (3, 9), torch.tensor([0.0, 0.4, 2.0]).double(), math.nan, fit)


def blobs(size, rank, seed):
    """Smooth blobs as columns, which differ visibly as latent images."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    center, width = torch.rand(2, rank, generator=g), 0.08 + 0.15 * torch.rand(rank, generator=g)
    columns = []
    for k in range(rank):
        distance = (x - center[0, k]) ** 2 + (y - center[1, k]) ** 2
        columns.append(torch.exp(-distance / width[k] ** 2).flatten())
    return torch.stack(columns, dim=1)


def hidden_factor(name, rank):
    rows = len(KEPT[name]) if name in KEPT else math.prod(SHAPES[name])
    return torch.rand(rows, rank, generator=torch.Generator().manual_seed(rows + rank))


def make_factorization(channels=1, n=24, size=12):
    inputs = tuple(f"input/{c}" for c in range(channels))
    names = inputs + BLOCKS[1:]
    F, W = [], []
    for rank in RANKS:
        f = torch.rand(rank, n, generator=torch.Generator().manual_seed(rank)) ** 4
        F.append(f / f.norm(dim=1, keepdim=True))
        pixels = [blobs(size, rank, c) * (1 + torch.arange(rank)) for c in range(channels)]
        W.append((*pixels, *(hidden_factor(name, rank) for name in BLOCKS[1:])))
    return Factorization(
        ranks=RANKS,
        F=tuple(F),
        W=tuple(W),
        sse=torch.ones(len(RANKS), len(names), dtype=torch.float64),
        block_names=names,
        weights=(1.0,) * len(names),
        objective=tuple(0.5**k for k in range(len(RANKS))),
        history=((0.5,),) * 6,
        n_iter=7,
        status="converged",
        shapes=tuple((size, size) if name in inputs else SHAPES[name] for name in names),
        kept_features=tuple(KEPT.get(name) for name in names),
    )


def similarity(name, mean_cosine, rank=8):
    """All components share the same part of their neurons; the eigenvalues are known in closed form."""
    cosine = torch.full((rank, rank), mean_cosine, dtype=torch.float64).fill_diagonal_(1.0)
    eigenvalues = torch.full((rank,), 1 - mean_cosine, dtype=torch.float64)
    eigenvalues[0] = 1 + (rank - 1) * mean_cosine
    return LayerSimilarity(name, rank, cosine, eigenvalues, mean_cosine, 4, float(eigenvalues[:4].mean()))


def make_records(
    curves=None,
    svd_curves=None,
    required_ranks=None,
    effective_rank=None,
    rms=None,
    consistency=None,
    spectra=None,
    alpha=None,
    seconds=None,
    overhead=None,
    n_signal_only=None,
    similarities=None,
):
    """Records by the names of the measurements; what is None has none."""
    records = {
        "consistency": consistency is not None and Scalars({"consistency": consistency}),
        "required_rank": required_ranks is not None and RequiredRanks(required_ranks),
        "effective_rank": effective_rank is not None and ScopedScalar("effective_rank", effective_rank),
        "reconstruction_error": curves is not None and RankCurves(curves),
        "svd_error": svd_curves is not None and RankCurves(svd_curves, method="svd_"),
        "rms": rms is not None and ScopedScalar("rms", rms),
        "neuron_similarity": similarities is not None and LayerSimilarities(similarities),
        "weight_spectra": spectra is not None and LayerSpectra(spectra, alpha),
        "cost": seconds is not None and Cost(seconds, overhead, n_signal_only),
    }
    return {name: record for name, record in records.items() if record}


def make_observation(epoch=3, channels=1, size=12, **changes):
    """An observation of all default measurements.

    Args:
        changes: ``step``, ``inputs``, ``factorization``, ``notes``, and the arguments of `make_records`.
    """
    factorization = make_factorization(channels, size=size)
    k = factorization.ranks.index(8)
    W, F = factorization.W[k][:channels], factorization.F[k]
    images = torch.stack([(w @ F).T.reshape(-1, size, size) for w in W], dim=1)
    fields = {"step": 100 * epoch + 7, "inputs": images, "factorization": factorization, "notes": ()}
    numbers = {
        "curves": {s: rank_curve(0.9 * 0.99**epoch - 0.01 * k, 0.72 - 0.01 * k) for k, s in enumerate(SCOPES)},
        "svd_curves": {s: rank_curve(0.8 * 0.99**epoch - 0.01 * k, 0.68 - 0.01 * k) for k, s in enumerate(SCOPES)},
        "required_ranks": (RequiredRank(0.3, 9.25, False), RequiredRank(0.125, 32.0, True)),
        "effective_rank": {s: 20.5 + k for k, s in enumerate(SCOPES)},
        "rms": {s: 1.25 + k for k, s in enumerate(SCOPES)},
        "consistency": 0.4375,
        "spectra": (
            power_law("layer1", 2.5),
            power_law("layer10", 3.5, seed=1),
            spectrum_without_fit("stem"),
            power_law("", 4.0),
        ),
        "alpha": AlphaSummary(3.0, 7.5, 2.25, 0.75, 3, 1),
        "seconds": {"forward": 0.25, "factorise": 1.0, "metrics": 0.5, "total": 1.75},
        "overhead": 0.0625,
        "similarities": tuple(similarity(name, 0.6 - 0.1 * k) for k, name in enumerate(BLOCKS[1:])),
    }
    for name, value in changes.items():
        (fields if name in fields else numbers)[name] = value
    return Observation(epoch=epoch, records=make_records(**numbers), **fields)
