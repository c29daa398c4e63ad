"""Signals from the raw outputs of one record: each a series of one number an epoch.

The first word of a name says what a signal needs: ``probe`` (unlabeled images and the network's outputs), ``factors``
(the probe and the factorisation), ``weights`` (nothing but the weights), ``images`` (training images, not their
labels), ``labels`` (training labels; never part of a label-free claim). ``hidden``, ``validation`` and ``training``
series are kept apart from the signals, in `derive`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopping.signals.cka import linear_cka
from benchmarks.stopping.signals.factor_consistency import factor_consistency
from benchmarks.stopping.signals.mixup import hard_mixup_consistency, mixup_consistency
from benchmarks.stopping.signals.prediction_consistency import (
    disagreement_rate,
    prediction_agreement_loss,
    soft_consistency,
)
from benchmarks.stopping.signals.stability import adjusted_rand_index, cluster_assignment, subspace_overlap
from lightning_factorlens.metrics import confidence as sure
from lightning_factorlens.metrics.consistency import pseudo_label_cross_entropy
from lightning_factorlens.metrics.nuclear_norm import nuclear_norm
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes
from lightning_factorlens.metrics.probabilities import log_probabilities
from lightning_factorlens.metrics.rankme import rankme
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble

Series = dict[str, list[float]]
#: Of the average of the predictions over the epochs, whose choice is the steady label.
MEMORIES = (0.5, 0.7, 0.8, 0.9)
Scalars = Mapping[str, Sequence[Any]]
#: Rungs that belong together: their predictions are also averaged.
FAMILIES: dict[str, Callable[[str], bool]] = {
    "shifts0.5": lambda name: name.startswith("shift/") and "0.5" in name,
    "shifts1": lambda name: name.startswith("shift/") and "1" in name,
    "shifts2": lambda name: name.startswith("shift/") and "2" in name,
    "shifts3": lambda name: name.startswith("shift/") and "3" in name,
    "shifts": lambda name: name.startswith("shift/"),
    "edge": lambda name: name.startswith("edge/"),
    "noise": lambda name: name.startswith("noise/"),
    "dropout": lambda name: name.startswith("dropout/"),
    "weight_noise": lambda name: name.startswith("weight_noise/"),
}


def by_epoch(array: np.ndarray) -> list[Tensor]:
    """A stored array, one float32 tensor an epoch."""
    return list(torch.from_numpy(array.astype(np.float32)).unbind(0))


def each(function: Callable[..., float], *series: Sequence[Any]) -> list[float]:
    """A function of one epoch, at every epoch."""
    return [function(*values) for values in zip(*series)]


def steps(function: Callable[[Any, Any], float], series: Sequence[Any]) -> list[float]:
    """A function of an epoch and the one before; NaN at the first."""
    return [math.nan, *(function(a, b) for a, b in zip(series, series[1:]))]


def divergence(plain: Tensor, other: Tensor) -> float:
    """Mean over images of KL(p ‖ q), in nats."""
    p, q = log_probabilities(plain), log_probabilities(other)
    return float((p.exp() * (p - q)).sum(1).double().mean())


def steady_labels(outputs: Sequence[Tensor], memory: float) -> list[Tensor]:
    """At every epoch the choice of the average of the predictions so far."""
    labels = TemporalEnsemble(memory)
    return [labels.update(z) for z in outputs]


def probe_signals(arrays: Mapping[str, np.ndarray], ladder: Sequence[str]) -> Series:
    """What the network's outputs on the probe tell.

    Args:
        arrays: Of a raw record.
        ladder: Names of the rungs, the plain probe first.
    """
    found: Series = {}
    logits, partner = arrays["probe_logits"], torch.from_numpy(arrays["mix_partner"].astype(np.int64))
    plain = by_epoch(logits[:, 0])
    for name, function in {
        "confidence": sure.confidence, "entropy": sure.entropy, "mutual_information": sure.mutual_information,
        "imbalance": sure.kl_to_uniform, "nuclear_norm": nuclear_norm, "rankme_logits": rankme,
    }.items():  # fmt: skip
        found[f"probe/{name}"] = each(function, plain)
    found["probe/changes"] = steps(prediction_changes, plain)
    found["probe/drift"] = steps(mean_total_variation, plain)
    steady = {memory: steady_labels(plain, memory) for memory in MEMORIES}
    for k, rung in enumerate(ladder[1:], 1):
        other = by_epoch(logits[:, k])
        if rung == "mix":
            found["probe/mix/soft"] = [mixup_consistency(p, m, partner) for p, m in zip(plain, other)]
            found["probe/mix/hard"] = [hard_mixup_consistency(p, m, partner) for p, m in zip(plain, other)]
            continue
        found[f"probe/hard/{rung}"] = [prediction_agreement_loss(p, [q]) for p, q in zip(plain, other)]
        found[f"probe/soft/{rung}"] = [soft_consistency(p, [q]) for p, q in zip(plain, other)]
        found[f"probe/disagree/{rung}"] = [disagreement_rate(p, [q]) for p, q in zip(plain, other)]
        found[f"probe/kl/{rung}"] = each(divergence, plain, other)
        for memory, labels in steady.items():
            found[f"probe/steady{memory:g}/{rung}"] = each(
                lambda y, q: pseudo_label_cross_entropy(y, [q]), labels, other
            )
    for pixels, moved in in_turn(logits, ladder).items():
        found[f"probe/hard/in_turn/{pixels}"] = [prediction_agreement_loss(p, [q]) for p, q in zip(plain, moved)]
        for memory, labels in steady.items():
            found[f"probe/steady{memory:g}/in_turn/{pixels}"] = each(
                lambda y, q: pseudo_label_cross_entropy(y, [q]), labels, moved
            )
    found.update(_averages(logits, ladder))
    found.update(_feature_signals(arrays["probe_features"]))
    return found


def in_turn(logits: np.ndarray, ladder: Sequence[str]) -> dict[int, list[Tensor]]:
    """By the pixels of the shift, at every epoch: even images shifted down and right, odd ones up and left.

    What the network says of `shifted_in_turn` images, put together from its answers to both shifts.
    """
    found = {}
    for pixels in (1, 2, 3):
        there, back = (ladder.index(f"shift/{s}{pixels}{s}{pixels}") for s in "+-")
        moved = logits[:, there].copy()
        moved[:, 1::2] = logits[:, back, 1::2]
        found[pixels] = by_epoch(moved)
    return found


def _averages(logits: np.ndarray, ladder: Sequence[str]) -> Series:
    """The mean prediction over a family of rungs beside the single ones.

    ``spread`` is the entropy of the mean prediction less the mean entropy; ``hard_mean`` the cross-entropy of the mean
    prediction against the plain probe's choice; ``own`` that of the plain prediction against the mean one's choice.
    """
    found: Series = {}
    log_p = torch.from_numpy(logits.astype(np.float32)).log_softmax(-1)
    for family, belongs in FAMILIES.items():
        members = [k for k, rung in enumerate(ladder) if belongs(rung)]
        if not members:
            continue
        p = log_p[:, [0, *members]].exp().double()
        mean = p.mean(1)
        spread = torch.special.entr(mean).sum(-1) - torch.special.entr(p).sum(-1).mean(1)
        chosen, averaged = log_p[:, 0].argmax(-1, keepdim=True), mean.argmax(-1, keepdim=True)
        found[f"probe/spread/{family}"] = spread.mean(1).tolist()
        found[f"probe/hard_mean/{family}"] = (-mean.clamp_min(1e-30).log().gather(-1, chosen)).mean((1, 2)).tolist()
        found[f"probe/own/{family}"] = (-log_p[:, 0].double().gather(-1, averaged)).mean((1, 2)).tolist()
    return found


def _feature_signals(features: np.ndarray) -> Series:
    plain, plus, minus = (by_epoch(features[:, k]) for k in range(3))
    moved = [1 - (linear_cka(a, b) + linear_cka(a, c)) / 2 for a, b, c in zip(plain, plus, minus)]
    return {
        "probe/rankme_features": each(rankme, plain),
        "probe/feature_norm": [float(f.norm(dim=1).mean()) for f in plain],
        "probe/cka_moved": moved,
        "probe/cka_step": steps(linear_cka, plain),
    }


def factor_signals(arrays: Mapping[str, np.ndarray], scalars: Scalars, ranks: Sequence[int]) -> Series:
    """What the factorisation of the probe's activations tells: curves, factors, and images folded into them."""
    found: Series = {}
    for rank in (8, 16):
        F = by_epoch(arrays[f"F_{rank}"])
        plain, plus, minus = (by_epoch(arrays[f"F_{rank}_folded"][:, k]) for k in range(3))
        found[f"factors/moved/{rank}"] = [factor_consistency(f, [a, b]) for f, a, b in zip(plain, plus, minus)]
        found[f"factors/overlap_step/{rank}"] = steps(subspace_overlap, F)
        clusters = [cluster_assignment(f) for f in F]
        found[f"factors/clusters_step/{rank}"] = steps(adjusted_rand_index, clusters)
        folded = [[cluster_assignment(f) for f in views] for views in (plain, plus, minus)]
        pairs = zip(*folded)
        found[f"factors/clusters_moved/{rank}"] = [
            1 - (adjusted_rand_index(f, a) + adjusted_rand_index(f, b)) / 2 for f, a, b in pairs
        ]
    errors = scalars["fold_errors"]
    for name in errors[0]:
        found[f"factors/fold_error/{name}"] = [e[name] for e in errors]
    for rank in (8, 16):
        gap = [e[f"{rank}/fresh"] - e[f"{rank}/probe"] for e in errors]
        found[f"factors/fold_gap/{rank}"] = gap
    for name in scalars["lens"][0]:
        kind = name.partition("/")[0]
        values = [look[name] for look in scalars["lens"]]
        if kind in ("rel_error", "rmse", "floor"):
            for k, rank in enumerate(ranks):
                found[f"factors/{name}/{rank}"] = [v[k] for v in values]
        elif kind in ("effective_rank", "rms"):
            found[f"factors/{name}"] = values
        elif kind == "rank_at":
            found[f"factors/{name}"] = [v[0] for v in values]
    return found


def weight_signals(scalars: Scalars) -> Series:
    """What the weights alone tell."""
    found = {f"weights/{k}": list(scalars[f"weight_{k}"]) for k in ("norm", "distance", "step", "turn")}
    names = ("mean_alpha", "alpha_hat", "mean_alpha_hat", "mean_log_lambda_max", "alpha_min", "alpha_last")
    for name in (*names, "stable_rank", "entropy_rank"):
        found[f"weights/{name}"] = [float(np.nanmean(look[name])) for look in scalars["lens"]]
    return found


def training_image_signals(arrays: Mapping[str, np.ndarray], ladder: Sequence[str]) -> Series:
    """What training images tell without their labels: a subset under shifts, and the answers given while training."""
    answers = [torch.from_numpy(a) for a in arrays["train_predictions"]]
    found = {"images/label_wave": steps(lambda a, b: float((a != b).double().mean()), answers)}
    plain = by_epoch(arrays["train_logits"][:, 0])
    found["images/confidence"] = each(sure.confidence, plain)
    found["images/entropy"] = each(sure.entropy, plain)
    found["images/changes"] = steps(prediction_changes, plain)
    for k, rung in enumerate(ladder[1:], 1):
        other = by_epoch(arrays["train_logits"][:, k])
        found[f"images/hard/{rung}"] = [prediction_agreement_loss(p, [q]) for p, q in zip(plain, other)]
        found[f"images/soft/{rung}"] = [soft_consistency(p, [q]) for p, q in zip(plain, other)]
    return found


def label_signals(arrays: Mapping[str, np.ndarray], scalars: Scalars, ladder: Sequence[str]) -> Series:
    """What needs training labels, right or wrong as they are given."""
    found: Series = {}
    given = torch.from_numpy(arrays["subset_given"].astype(np.int64))
    for k, rung in enumerate(ladder):
        logits = by_epoch(arrays["train_logits"][:, k])
        loss = [float(torch.nn.functional.cross_entropy(z, given)) for z in logits]
        found[f"labels/subset_loss/{rung}"] = loss
    found["labels/subset_accuracy"] = [
        float((z.argmax(1) == given).double().mean()) for z in by_epoch(arrays["train_logits"][:, 0])
    ]
    alignments = [a.double() for a in by_epoch(arrays["train_alignment"])]
    found["labels/alignment_mean"] = [float(a.mean()) for a in alignments]
    found["labels/alignment"] = each(aligned, alignments)
    for name in scalars["gradients"][0]:
        found[f"labels/{name}"] = [g[name] for g in scalars["gradients"]]
    return found


def aligned(cosines: Tensor) -> float:
    """Gradient–weight alignment as its authors sum it up: mean over (excess kurtosis + 1.2); larger is better."""
    deviation = cosines - cosines.mean()
    kurtosis = deviation.pow(4).mean() / deviation.square().mean().square() - 3
    return float(cosines.mean() / (kurtosis + 1.2))
