"""What is measured at the end of an epoch: outputs, factors, signals with training labels.

Everything here leaves the model as it found it (`undisturbed`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.stopping.networks import Classifier
from benchmarks.stopping.signals.factor_consistency import fold_in
from benchmarks.stopping.signals.supervised.gradient_disparity import batch_gradients, gradient_disparity
from benchmarks.stopping.signals.transforms import Transform, transformed_outputs
from lightning_factorlens import FactorLens
from lightning_factorlens.capture.activations import capture_activations
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.results import Block, Factorization, LayerSpectra, Observation, RankCurves

BATCH = 128


def fast(batch: Tensor) -> Tensor:
    """The batch in the layout in which convolutions on a processor are fastest."""
    return batch.contiguous(memory_format=torch.channels_last)


def outputs(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and penultimate features, in eval mode: shapes (N, 10) and (N, width)."""
    with isolate_model(model):
        features = torch.cat([model.body(fast(batch)) for batch in images.split(BATCH)])
        return model.head(features), features


def under(model: Classifier, images: Tensor, transforms: Iterable[Transform]) -> Tensor:
    """Logits under every transform, shape (transforms, N, 10)."""
    return torch.stack(transformed_outputs(model, images, list(transforms), lambda batch: model(fast(batch))))


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and share of right answers."""
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


def captured(lens: FactorLens, images: Tensor) -> tuple[list[Block], Tensor]:
    """What any images make of the network, in one pass.

    Args:
        lens: Its choice of layers and neurons counts.
        images: Shape (N, C, H, W).

    Returns:
        The activations that the lens would factorise, and the penultimate features, shape (N, width).
    """
    o, features, head = lens.options, [], lens.model.get_submodule("head")
    hook = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    try:
        with isolate_model(lens.model):
            layers = capture_activations(
                lens.model, lambda b: lens.model(fast(b)), images, lens.layer_table, o.max_neurons_per_layer, o.seed
            ).layers
    finally:
        hook.remove()
    blocks = [Block(b.name, b.kind, b.samples.clamp_min(0), b.shape, sampling_factor=b.sampling_factor) for b in layers]
    return blocks, torch.cat(features)


class FixedFactors:
    """The O_j of one rank of a factorisation, into which other images are folded: activations only.

    Args:
        result: The factorisation.
        rank: Which of its ranks.
        blocks: Activation blocks of any images: their names and expansions count.
    """

    def __init__(self, result: Factorization, rank: int, blocks: Sequence[Block]) -> None:
        at = [result.block_names.index(b.name) for b in blocks]
        self.factors = [result.W[result.ranks.index(rank)][k] for k in at]
        # The objective of the lens: its weight, and every kept neuron for as many as it stands for.
        self.weights = [result.weights[k] * math.sqrt(b.sampling_factor) for k, b in zip(at, blocks)]

    def fold(self, blocks: Sequence[Block], rows: slice = slice(None)) -> Tensor:
        """F, shape (r, N), from the features ``rows`` of every block."""
        return fold_in([b.samples[:, rows] for b in blocks], [O[rows] for O in self.factors], self.weights, sweeps=40)

    def error(self, blocks: Sequence[Block], F: Tensor, rows: slice = slice(None)) -> float:
        """Relative error of A_j ≈ O_j F on the features ``rows``, weighted as the factorisation is."""
        wrong = whole = 0.0
        for block, O, weight in zip(blocks, self.factors, self.weights):
            x = block.samples[:, rows]
            wrong += weight**2 * float((x - F.T @ O[rows].T).square().sum())
            whole += weight**2 * float(x.square().sum())
        return math.sqrt(wrong / whole) if whole else math.nan


@dataclass
class Folded:
    """What images became with the outer factors held fixed.

    Attributes:
        F: By rank and name of the images, shape (r, N).
        errors: Relative errors by ``"{rank}/{name}"``, and, of the odd features after a fold-in from the even ones, by
            ``"{rank}/{name}/held_out"``.
        features: Penultimate features by name, shape (N, width).
    """

    F: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)


def folded(lens: FactorLens, result: Factorization, views: dict[str, Tensor], ranks: Iterable[int]) -> Folded:
    """Folds images into the factors of the activations.

    Args:
        lens: After its observation.
        result: What it found.
        views: Images by name.
        ranks: Which ranks of the result.
    """
    found, even, odd = Folded(), slice(0, None, 2), slice(1, None, 2)
    for view, images in views.items():
        blocks, found.features[view] = captured(lens, images)
        for rank in ranks:
            fixed = FixedFactors(result, rank, blocks)
            F = found.F[rank, view] = fixed.fold(blocks)
            found.errors[f"{rank}/{view}"] = fixed.error(blocks, F)
            found.errors[f"{rank}/{view}/held_out"] = fixed.error(blocks, fixed.fold(blocks, even), odd)
    return found


def gradient_signals(model: Classifier, images: Tensor, labels: Tensor, batch: int) -> dict[str, float]:
    """Gradients of a few small fixed batches, compared. Needs labels.

    Gradient disparity; beside it the mean norm, the mean cosine, and the evidence-based criterion (Mahsereci et al.
    2017), 1 − mean over weights of ḡ² / var(ḡ): above 0 when the mean gradient drowns in its noise.

    Args:
        model: In any mode; gradients are taken in eval mode.
        images: A whole number of batches.
        labels: Theirs.
        batch: Images a batch.
    """

    def loss(pair: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(fast(pair[0])), pair[1])

    g = batch_gradients(model, loss, zip(images.split(batch), labels.split(batch)))
    unit = nn.functional.normalize(g, dim=1)
    i, j = torch.triu_indices(len(g), len(g), 1)
    variance = g.var(0) / len(g)
    moving = variance > 0
    evidence = 1 - float((g.mean(0).square()[moving] / variance[moving]).mean()) if bool(moving.any()) else math.nan
    return {
        "gradient_disparity": gradient_disparity(g),
        "gradient_norm": float(g.norm(dim=1).mean()),
        "gradient_cosine": float((unit @ unit.T)[i, j].mean()),
        "evidence_criterion": evidence,
    }
