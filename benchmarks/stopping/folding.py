"""Represents other images by the factors of a factorization, which are held fixed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchmarks.stopping.networks import channels_last
from benchmarks.stopping.signals.factor_consistency import fold_in
from lightning_factorlens import FactorLens
from lightning_factorlens.capture.activations import capture_activations
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results import Block, Factorization

SWEEPS = 40


@dataclass
class Folded:
    """The result of representing several sets of images by fixed factors.

    Attributes:
        F: By rank and name of the images, shape (r, N).
        errors: Relative errors by ``"{rank}/{name}"``; and, by ``"{rank}/{name}/held_out"``, those of the odd features
            when F is computed from the even ones.
        features: Penultimate features by name, shape (N, width).
    """

    F: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)


class FixedFactors:
    """The factors W_j of one rank of a factorization, for the activations only.

    Args:
        factorization: The factorization.
        rank: One of its ranks.
        blocks: Activation blocks of any images; their names and sampling factors are used.
    """

    def __init__(self, factorization: Factorization, rank: int, blocks: Sequence[Block]) -> None:
        of_rank = factorization.W[factorization.ranks.index(rank)]
        self.factors = []
        self.weights = []
        for block in blocks:
            k = factorization.block_names.index(block.name)
            self.factors.append(of_rank[k])
            # As in the lens's objective, a kept neuron counts for all those that it represents.
            self.weights.append(factorization.weights[k] * math.sqrt(block.sampling_factor))

    def fold(self, blocks: Sequence[Block], rows: slice = slice(None)) -> Tensor:
        """F, shape (r, N), from the features ``rows`` of every block."""
        samples = [block.samples[:, rows] for block in blocks]
        factors = [W[rows] for W in self.factors]
        return fold_in(samples, factors, self.weights, sweeps=SWEEPS)

    def error(self, blocks: Sequence[Block], F: Tensor, rows: slice = slice(None)) -> float:
        """Relative error of X_j ≈ W_j F on the features ``rows``, weighted as the factorization is."""
        residual = 0.0
        total = 0.0
        for block, W, weight in zip(blocks, self.factors, self.weights):
            x = block.samples[:, rows]
            residual += weight**2 * float((x - F.T @ W[rows].T).square().sum())
            total += weight**2 * float(x.square().sum())
        return math.sqrt(residual / total) if total else math.nan


def capture(lens: FactorLens, images: Tensor) -> tuple[list[Block], Tensor]:
    """Activations and penultimate features of any images, from one forward pass.

    Args:
        lens: A lens after its first observation; its selection of layers and neurons is used.
        images: Shape (N, C, H, W).

    Returns:
        The activations that the lens would factorize, and the penultimate features, shape (N, width).
    """
    options = lens.options
    features = []
    head = lens.model.get_submodule("head")
    hook = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    try:
        with isolate_model(lens.model):
            layers = capture_activations(
                lens.model,
                lambda batch: lens.model(channels_last(batch)),
                images,
                lens.layer_table,
                options.max_neurons_per_layer,
                options.seed,
            ).layers
            penultimate = torch.cat(features)  # what a hook keeps is taken back at the end of the isolation
    finally:
        hook.remove()
    blocks = []
    for layer in layers:
        samples = layer.samples.clamp_min(0)
        blocks.append(Block(layer.name, layer.kind, samples, layer.shape, sampling_factor=layer.sampling_factor))
    return blocks, penultimate


def fold_views(
    lens: FactorLens, factorization: Factorization, views: Mapping[str, Tensor], ranks: Iterable[int]
) -> Folded:
    """Represents images by the factors of the activations.

    Args:
        lens: The lens, after its observation.
        factorization: The factorization of that observation.
        views: Images by name.
        ranks: Some ranks of the factorization.
    """
    folded = Folded()
    even = slice(0, None, 2)
    odd = slice(1, None, 2)
    for view, images in views.items():
        blocks, folded.features[view] = capture(lens, images)
        for rank in ranks:
            fixed = FixedFactors(factorization, rank, blocks)
            F = fixed.fold(blocks)
            folded.F[rank, view] = F
            folded.errors[f"{rank}/{view}"] = fixed.error(blocks, F)
            folded.errors[f"{rank}/{view}/held_out"] = fixed.error(blocks, fixed.fold(blocks, even), odd)
    return folded
