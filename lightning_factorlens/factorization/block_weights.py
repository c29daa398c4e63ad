"""The weights of the blocks of a coupled problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from lightning_factorlens.results import Block

Weighting = Literal["unit", "raw"]
WEIGHTINGS: tuple[str, ...] = ("unit", "raw")
#: Largest weight of a block whose square is a float64 number with some space left.
MAX_WEIGHT = 1e150


def squared_norms(blocks: Sequence[Block], row_norms: Sequence[Tensor]) -> tuple[float, ...]:
    """Returns Σ ‖row‖² of each block, corrected for unsampled features.

    Args:
        blocks: The blocks.
        row_norms: Norms of the feature rows of each block, shape (features,).
    """
    energies = []
    for block, norms in zip(blocks, row_norms):
        energies.append(block.sampling_factor * float(norms.square().sum()))
    return tuple(energies)


def block_weights(blocks: Sequence[Block], energies: Sequence[float], weighting: Weighting) -> tuple[float, ...]:
    """Returns w_b; they preserve the total energy, so that errors are in the units of the activations.

    Args:
        blocks: The blocks.
        energies: From `squared_norms`, of all processes together.
        weighting: See `CoupledProblem`.

    Raises:
        ValueError: A block is so small beside the others that its weight is no number.
    """
    if weighting == "raw":
        return (1.0,) * len(blocks)
    total = math.fsum(energies)
    n_nonzero = sum(energy > 0 for energy in energies)
    weights = [0.0] * len(blocks)
    for b, energy in enumerate(energies):
        if energy > 0:
            weights[b] = math.sqrt(total / n_nonzero / energy)
        if weights[b] > MAX_WEIGHT:
            raise ValueError(
                f"blocks: block {blocks[b].name!r} is more than {MAX_WEIGHT:g} times smaller than the largest "
                "block, and float64 cannot hold its weight; rescale the blocks, or pass weighting='raw'."
            )
    return tuple(weights)


def check_blocks(blocks: Sequence[Block], feature_counts: Sequence[int]) -> None:
    """Checks that there are blocks, and that their shapes are (N, features) with one N.

    Args:
        blocks: The blocks.
        feature_counts: Number of features of each block in all processes.

    Raises:
        ValueError: One is of another shape; the message names it.
    """
    if not blocks:
        raise ValueError(
            "blocks: found none; a coupled factorization needs at least one block. Pass an input channel or a layer."
        )
    for block, features in zip(blocks, feature_counts):
        if block.samples.ndim != 2 or not len(block.samples) or not features:
            raise ValueError(
                f"blocks: the samples of block {block.name!r} must have the shape (N, features) with at least one "
                f"sample and one feature, found {tuple(block.samples.shape)}. Leave the block out or reshape it."
            )
    sizes = {block.samples.shape[0] for block in blocks}
    if len(sizes) > 1:
        raise ValueError(
            f"blocks: all must hold the same samples, found N = {sorted(sizes)}. Capture them from one probe."
        )
