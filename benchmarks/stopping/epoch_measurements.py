"""Measurements at the end of an epoch: outputs, numbers of the lens, and signals that need training labels.

All functions leave the model bit for bit as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.stopping.networks import Classifier, channels_last
from benchmarks.stopping.signals.supervised.gradient_disparity import batch_gradients, gradient_disparity
from benchmarks.stopping.signals.transforms import Transform, transformed_outputs
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results import LayerSpectra, Observation, RankCurves

BATCH = 128


def outputs(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and penultimate features in eval mode, shapes (N, 10) and (N, width)."""
    with isolate_model(model):
        features = torch.cat([model.body(channels_last(batch)) for batch in images.split(BATCH)])
        return model.head(features), features


def transformed_logits(model: Classifier, images: Tensor, transforms: Iterable[Transform]) -> Tensor:
    """Logits under every transform, shape (transforms, N, 10)."""
    logits = transformed_outputs(model, images, list(transforms), lambda batch: model(channels_last(batch)))
    return torch.stack(logits)


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy, and the fraction of correct predictions."""
    loss = nn.functional.cross_entropy(logits.double(), labels)
    return float(loss), float((logits.argmax(1) == labels).double().mean())


def lens_numbers(observation: Observation) -> dict[str, Any]:
    """The scalars of an observation that the study keeps, ready for JSON."""
    curves: RankCurves = observation["reconstruction_error"]
    parts = ("total", "inputs", "activations")
    last_layer = [scope for scope in curves.curves if scope not in parts][-1]
    numbers: dict[str, Any] = {}
    for scope in (*parts, last_layer):
        key = "last_layer" if scope == last_layer else scope
        numbers[f"rel_error/{key}"] = curves[scope].rel_error
        numbers[f"rmse/{key}"] = curves[scope].rmse
        numbers[f"floor/{key}"] = observation["svd_error"][scope].rel_error
        numbers[f"effective_rank/{key}"] = observation["effective_rank"][scope]
        numbers[f"rms/{key}"] = observation["rms"][scope]
    for required in observation["required_rank"].ranks:
        numbers[f"rank_at/{required.tau:g}"] = [required.rank, float(required.is_lower_bound)]
    numbers.update(spectrum_numbers(observation["weight_spectra"]))
    return numbers


def spectrum_numbers(spectra: LayerSpectra) -> dict[str, Any]:
    """The scalars of the weights' spectra; NaN where no layer has a fit."""
    numbers: dict[str, Any] = {}
    for name in ("mean_alpha", "alpha_hat", "mean_alpha_hat", "mean_log_lambda_max"):
        numbers[name] = math.nan if spectra.summary is None else getattr(spectra.summary, name)
    fitted = [s.fit.alpha for s in spectra.layers if not math.isnan(s.fit.alpha)]
    numbers["alpha_min"] = min(fitted, default=math.nan)
    numbers["alpha_last"] = spectra.layers[-1].fit.alpha
    numbers["stable_rank"] = [s.stable_rank for s in spectra.layers]
    numbers["entropy_rank"] = [s.entropy_rank for s in spectra.layers]
    return numbers


def gradient_signals(model: Classifier, images: Tensor, labels: Tensor, batch: int) -> dict[str, float]:
    """Comparisons of the gradients of a few small fixed batches; they need labels.

    Gradient disparity, the mean norm, the mean cosine, and the evidence-based criterion of Mahsereci, Balles, Lassner
    and Hennig (2017), "Early stopping without a validation set": 1 − mean over weights of ḡ² / var(ḡ), which is above 0
    where the noise of the mean gradient exceeds the mean gradient.

    Args:
        model: In any mode; gradients are taken in eval mode.
        images: A whole number of batches.
        labels: Their labels.
        batch: Images per batch.
    """

    def loss(pair: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(channels_last(pair[0])), pair[1])

    g = batch_gradients(model, loss, zip(images.split(batch), labels.split(batch)))
    unit = nn.functional.normalize(g, dim=1)
    i, j = torch.triu_indices(len(g), len(g), 1)
    variance = g.var(0) / len(g)
    varying = variance > 0
    evidence = math.nan
    if bool(varying.any()):
        evidence = 1 - float((g.mean(0).square()[varying] / variance[varying]).mean())
    return {
        "gradient_disparity": gradient_disparity(g),
        "gradient_norm": float(g.norm(dim=1).mean()),
        "gradient_cosine": float((unit @ unit.T)[i, j].mean()),
        "evidence_criterion": evidence,
    }
