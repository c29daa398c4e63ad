"""Signals from the network's outputs for the probe and for its transforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopping.signals.cka import linear_cka
from benchmarks.stopping.signals.mixup import hard_mixup_consistency, mixup_consistency
from benchmarks.stopping.signals.prediction_consistency import (
    disagreement_rate,
    prediction_agreement_loss,
    soft_consistency,
)
from benchmarks.stopping.signals.series import Series, by_epoch, divergence, each, pseudo_labels, steps
from lightning_factorlens.metrics.confidence import confidence, entropy, kl_to_uniform, mutual_information
from lightning_factorlens.metrics.consistency import pseudo_label_cross_entropy
from lightning_factorlens.metrics.nuclear_norm import nuclear_norm
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes
from lightning_factorlens.metrics.rankme import rankme

#: Momenta of the average of the predictions over the epochs that names the pseudo-labels.
MOMENTA = (0.5, 0.7, 0.8, 0.9)
#: Functions of the plain outputs of one epoch.
PLAIN: dict[str, Callable[[Tensor], float]] = {
    "confidence": confidence,
    "entropy": entropy,
    "mutual_information": mutual_information,
    "imbalance": kl_to_uniform,
    "nuclear_norm": nuclear_norm,
    "rankme_logits": rankme,
}
#: Transforms whose predictions are also averaged together, by the name of the group.
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


def probe_signals(arrays: Mapping[str, np.ndarray], transforms: Sequence[str]) -> Series:
    """All signals that need the probe.

    Args:
        arrays: The arrays of a raw record.
        transforms: Names of the transforms, the plain probe first.
    """
    logits = arrays["probe_logits"]
    partner = torch.from_numpy(arrays["mix_partner"].astype(np.int64))
    plain = by_epoch(logits[:, 0])
    found: Series = {}
    for name, function in PLAIN.items():
        found[f"probe/{name}"] = each(function, plain)
    found["probe/changes"] = steps(prediction_changes, plain)
    found["probe/drift"] = steps(mean_total_variation, plain)
    labels = {momentum: pseudo_labels(plain, momentum) for momentum in MOMENTA}
    for k, transform in enumerate(transforms[1:], 1):
        other = by_epoch(logits[:, k])
        if transform == "mix":
            found["probe/mix/soft"] = [mixup_consistency(p, m, partner) for p, m in zip(plain, other)]
            found["probe/mix/hard"] = [hard_mixup_consistency(p, m, partner) for p, m in zip(plain, other)]
        else:
            found.update(_transform_signals(transform, plain, other))
            found.update(_pseudo_label_signals(transform, labels, other))
    for pixels, shifted in alternating_shifts(logits, transforms).items():
        name = f"in_turn/{pixels}"
        found[f"probe/hard/{name}"] = _agreement_loss(plain, shifted)
        found.update(_pseudo_label_signals(name, labels, shifted))
    found.update(_mean_prediction_signals(logits, transforms))
    found.update(_feature_signals(arrays["probe_features"]))
    return found


def alternating_shifts(logits: np.ndarray, transforms: Sequence[str]) -> dict[int, list[Tensor]]:
    """By the pixels of the shift, outputs at every epoch for even images shifted down and right, odd ones up and left.

    These are the outputs for `lightning_factorlens.metrics.consistency.alternating_shift`, put together from the
    recorded outputs for both shifts.
    """
    found = {}
    for pixels in (1, 2, 3):
        down_right = transforms.index(f"shift/+{pixels}+{pixels}")
        up_left = transforms.index(f"shift/-{pixels}-{pixels}")
        shifted = logits[:, down_right].copy()
        shifted[:, 1::2] = logits[:, up_left, 1::2]
        found[pixels] = by_epoch(shifted)
    return found


def _agreement_loss(plain: Sequence[Tensor], other: Sequence[Tensor]) -> list[float]:
    return [prediction_agreement_loss(p, [q]) for p, q in zip(plain, other)]


def _transform_signals(transform: str, plain: Sequence[Tensor], other: Sequence[Tensor]) -> Series:
    """Comparisons of the outputs under one transform with the plain outputs of the same epoch."""
    return {
        f"probe/hard/{transform}": _agreement_loss(plain, other),
        f"probe/soft/{transform}": [soft_consistency(p, [q]) for p, q in zip(plain, other)],
        f"probe/disagree/{transform}": [disagreement_rate(p, [q]) for p, q in zip(plain, other)],
        f"probe/kl/{transform}": each(divergence, plain, other),
    }


def _pseudo_label_signals(transform: str, labels: Mapping[float, Sequence[Tensor]], other: Sequence[Tensor]) -> Series:
    """Cross-entropy of the outputs under one transform against the pseudo-labels, for every momentum."""
    found = {}
    for momentum, of_momentum in labels.items():
        loss = [pseudo_label_cross_entropy(y, [q]) for y, q in zip(of_momentum, other)]
        found[f"probe/steady{momentum:g}/{transform}"] = loss
    return found


def _mean_prediction_signals(logits: np.ndarray, transforms: Sequence[str]) -> Series:
    """Comparisons with the mean prediction over a group of transforms.

    ``spread`` is the entropy of the mean prediction minus the mean entropy; ``hard_mean`` the cross-entropy of the mean
    prediction against the class predicted for the plain probe; ``own`` the cross-entropy of the plain prediction
    against the class of the mean prediction.
    """
    found: Series = {}
    log_p = torch.from_numpy(logits.astype(np.float32)).log_softmax(-1)
    for family, belongs in FAMILIES.items():
        members = [k for k, transform in enumerate(transforms) if belongs(transform)]
        if not members:
            continue
        p = log_p[:, [0, *members]].exp().double()
        mean = p.mean(1)
        spread = torch.special.entr(mean).sum(-1) - torch.special.entr(p).sum(-1).mean(1)
        predicted = log_p[:, 0].argmax(-1, keepdim=True)
        predicted_by_mean = mean.argmax(-1, keepdim=True)
        hard_mean = (-mean.clamp_min(1e-30).log().gather(-1, predicted)).mean((1, 2))
        own = (-log_p[:, 0].double().gather(-1, predicted_by_mean)).mean((1, 2))
        found[f"probe/spread/{family}"] = spread.mean(1).tolist()
        found[f"probe/hard_mean/{family}"] = hard_mean.tolist()
        found[f"probe/own/{family}"] = own.tolist()
    return found


def _feature_signals(features: np.ndarray) -> Series:
    plain = by_epoch(features[:, 0])
    plus = by_epoch(features[:, 1])
    minus = by_epoch(features[:, 2])
    moved = [1 - (linear_cka(a, b) + linear_cka(a, c)) / 2 for a, b, c in zip(plain, plus, minus)]
    return {
        "probe/rankme_features": each(rankme, plain),
        "probe/feature_norm": [float(f.norm(dim=1).mean()) for f in plain],
        "probe/cka_moved": moved,
        "probe/cka_step": steps(linear_cka, plain),
    }
