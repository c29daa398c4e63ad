"""Signals from the factorization of the probe's activations, and from the weights alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.stopping.signals.factor_consistency import factor_consistency
from benchmarks.stopping.signals.series import Scalars, Series, by_epoch, steps
from benchmarks.stopping.signals.stability import adjusted_rand_index, cluster_assignment, subspace_overlap

#: Ranks whose factors are recorded.
RECORDED_RANKS = (8, 16)
#: Means over layers of the numbers of weight spectra.
SPECTRUM_NUMBERS = (
    "mean_alpha",
    "alpha_hat",
    "mean_alpha_hat",
    "mean_log_lambda_max",
    "alpha_min",
    "alpha_last",
    "stable_rank",
    "entropy_rank",
)


def factor_signals(arrays: Mapping[str, np.ndarray], scalars: Scalars, ranks: Sequence[int]) -> Series:
    """Signals from error curves, from factors, and from images that are represented by the fixed factors."""
    found: Series = {}
    for rank in RECORDED_RANKS:
        found.update(_stability(arrays, rank))
    errors = scalars["fold_errors"]
    for name in errors[0]:
        found[f"factors/fold_error/{name}"] = [of_epoch[name] for of_epoch in errors]
    for rank in RECORDED_RANKS:
        gap = [of_epoch[f"{rank}/fresh"] - of_epoch[f"{rank}/probe"] for of_epoch in errors]
        found[f"factors/fold_gap/{rank}"] = gap
    found.update(_lens_numbers(scalars["lens"], ranks))
    return found


def _stability(arrays: Mapping[str, np.ndarray], rank: int) -> Series:
    """How much the factors of one rank change under a shift of the images, and from epoch to epoch."""
    F = by_epoch(arrays[f"F_{rank}"])
    folded = arrays[f"F_{rank}_folded"]
    plain = by_epoch(folded[:, 0])
    plus = by_epoch(folded[:, 1])
    minus = by_epoch(folded[:, 2])
    clusters_moved = []
    for f, a, b in zip(plain, plus, minus):
        clusters = cluster_assignment(f)
        agreement = adjusted_rand_index(clusters, cluster_assignment(a))
        agreement += adjusted_rand_index(clusters, cluster_assignment(b))
        clusters_moved.append(1 - agreement / 2)
    return {
        f"factors/moved/{rank}": [factor_consistency(f, [a, b]) for f, a, b in zip(plain, plus, minus)],
        f"factors/overlap_step/{rank}": steps(subspace_overlap, F),
        f"factors/clusters_step/{rank}": steps(adjusted_rand_index, [cluster_assignment(f) for f in F]),
        f"factors/clusters_moved/{rank}": clusters_moved,
    }


def _lens_numbers(observations: Sequence[Mapping[str, list[float]]], ranks: Sequence[int]) -> Series:
    """The numbers of the lens that depend on the factorization."""
    found: Series = {}
    for name in observations[0]:
        kind = name.partition("/")[0]
        values = [observation[name] for observation in observations]
        if kind in ("rel_error", "rmse", "floor"):
            for k, rank in enumerate(ranks):
                found[f"factors/{name}/{rank}"] = [v[k] for v in values]
        elif kind in ("effective_rank", "rms"):
            found[f"factors/{name}"] = values  # type: ignore[assignment]
        elif kind == "rank_at":
            found[f"factors/{name}"] = [v[0] for v in values]
    return found


def weight_signals(scalars: Scalars) -> Series:
    """Signals from the weights alone."""
    found: Series = {}
    for name in ("norm", "distance", "step", "turn"):
        found[f"weights/{name}"] = list(scalars[f"weight_{name}"])
    for name in SPECTRUM_NUMBERS:
        found[f"weights/{name}"] = [float(np.nanmean(observation[name])) for observation in scalars["lens"]]
    return found
