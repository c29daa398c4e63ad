"""One observation as flat scalars: the few that are monitored, and all the rest.

A tag has only letters, digits and ``- / . _``; TensorBoard groups tags by the text before the first slash.
Values that are not finite are left out: ``EarlyStopping(check_finite=True)`` would end the training on a NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from lightning_factorlens.results import Observation, RankCurve

#: What every tag begins with; another one lets two lenses live in one Trainer.
PREFIX = "factorlens"
#: Scopes that gather several blocks.
GATHERED = ("total", "inputs", "activations")

Tagged = Iterator[tuple[str, float]]


def monitored_scalars(observation: Observation, prefix: str = PREFIX) -> dict[str, float]:
    """The scalars worth monitoring, which also go through ``LightningModule.log``.

    Args:
        observation: What the look found.
        prefix: Replaces ``factorlens`` in every tag.

    Returns:
        Value by tag, finite ones only.

    Raises:
        ValueError: When ``prefix`` is no part of a tag.
    """
    return _finite(_summaries(observation, check_prefix(prefix)))


def other_scalars(observation: Observation, prefix: str = PREFIX) -> dict[str, float]:
    """All other scalars: by scope, block and layer, and the cost by phase.

    Args:
        observation: What the look found.
        prefix: Replaces ``factorlens`` in every tag.

    Returns:
        Value by tag, finite ones only, no tag of ``summaries``.

    Raises:
        ValueError: When ``prefix`` is no part of a tag.
    """
    p = check_prefix(prefix)
    return _finite(pair for part in (_by_scope, _by_layer, _by_similarity, _by_phase) for pair in part(observation, p))


def check_prefix(prefix: str) -> str:
    """``prefix`` itself, if TensorBoard would keep it as one group.

    Raises:
        ValueError: When it is empty or has other characters than letters, digits, ``-``, ``.`` and ``_``.
    """
    if not re.fullmatch(r"[-\w.]+", prefix, flags=re.ASCII):
        raise ValueError(f"prefix may have letters, digits and '-', '.', '_' only; found {prefix!r}")
    return prefix


def tag_names(names: Iterable[str]) -> list[str]:
    """Names fit to stand in a tag, in order, and as distinct as they were given.

    A model that is a single layer has the empty name, which becomes ``_``.
    """
    used: set[str] = set()
    labels = []
    for name in names:
        stem = re.sub(r"[^-/\w.]", "_", name, flags=re.ASCII).strip("/") or "_"
        label, copy = stem, 2
        while label in used:
            label, copy = f"{stem}_{copy}", copy + 1
        used.add(label)
        labels.append(label)
    return labels


def percent(tau: float) -> str:
    """A relative error as a percentage that fits a tag: 0.3 gives ``30``, 0.125 gives ``12p5``."""
    return f"{100 * tau:.6g}".replace(".", "p")


def middle_rank(ranks: Sequence[int]) -> int:
    """The rank that stands for all where only one can be shown: 8 of 1, 2, 4, 8, 16, 32."""
    return ranks[len(ranks) // 2]


def _finite(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    return {tag: float(value) for tag, value in pairs if math.isfinite(value)}


def _curve(base: str, curve: RankCurve) -> Tagged:
    for name, errors in (("rmse", curve.rmse), ("rel_error", curve.rel_error)):
        yield from ((f"{base}/{name}/rank_{rank}", error) for rank, error in zip(curve.ranks, errors))


def _summaries(o: Observation, p: str) -> Tagged:
    yield from _curve(p, o.curves["total"])
    for required in o.required_ranks:
        tag = f"{p}/rank_at_{percent(required.tau)}pct"
        yield tag, required.rank
        yield f"{tag}_capped", float(required.is_lower_bound)
    yield f"{p}/effective_rank", o.effective_rank.get("total", math.nan)
    yield f"{p}/consistency", math.nan if o.consistency is None else o.consistency
    if o.alpha is not None:
        yield f"{p}/mean_alpha", o.alpha.mean_alpha
        yield f"{p}/alpha_hat", o.alpha.alpha_hat
        yield f"{p}/mean_alpha_hat", o.alpha.mean_alpha_hat
    yield f"{p}/seconds", o.seconds.get("total", math.nan)
    yield f"{p}/share", math.nan if o.overhead is None else o.overhead
    yield f"{p}/looks_skipped", math.nan if o.n_skipped is None else o.n_skipped


def _by_scope(o: Observation, p: str) -> Tagged:
    scopes = list(dict.fromkeys([*o.curves, *o.svd_curves, *o.effective_rank, *o.rms]))
    for scope, label in zip(scopes, tag_names(scopes)):
        base = f"{p}_{scope}" if scope in GATHERED else f"{p}_layers/{label}"
        if scope in o.svd_curves:
            yield from _curve(f"{p}_svd/{label}", o.svd_curves[scope])
        if scope in o.rms:
            yield f"{base}/rms", o.rms[scope]
        if scope == "total":  # its curve and effective rank are summaries
            continue
        if scope in o.curves:
            yield from _curve(base, o.curves[scope])
        if scope in o.effective_rank:
            yield f"{base}/effective_rank", o.effective_rank[scope]


def _by_layer(o: Observation, p: str) -> Tagged:
    p = f"{p}_spectra"
    for spectrum, label in zip(o.spectra, tag_names(s.layer for s in o.spectra)):
        fit = spectrum.fit
        yield f"{p}/{label}/alpha", fit.alpha
        yield f"{p}/{label}/sigma", fit.sigma
        yield f"{p}/{label}/ks_distance", fit.ks_distance
        yield f"{p}/{label}/n_tail", fit.n_tail
        for name in ("lambda_max", "alpha_weighted", "stable_rank", "entropy_rank", "mp_edge"):
            yield f"{p}/{label}/{name}", getattr(spectrum, name)
        yield f"{p}/{label}/spikes", math.nan if spectrum.spikes is None else spectrum.spikes
    if o.alpha is not None:
        yield f"{p}/mean_log_lambda_max", o.alpha.mean_log_lambda_max
        yield f"{p}/layers_fitted", o.alpha.layers
        yield f"{p}/layers_abstained", o.alpha.abstained


def _by_similarity(o: Observation, p: str) -> Tagged:
    for found, label in zip(o.similarity, tag_names(s.layer for s in o.similarity)):
        yield f"{p}_similarity/{label}/off_diagonal", found.mean_cosine
        yield f"{p}_similarity/{label}/first_{found.k}_eigenvalues", found.mean_top_k


def _by_phase(o: Observation, p: str) -> Tagged:
    phases = [phase for phase in o.seconds if phase != "total"]
    yield from ((f"{p}_cost/{label}", o.seconds[phase]) for phase, label in zip(phases, tag_names(phases)))
