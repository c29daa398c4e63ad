"""The factors of all blocks for a fitted F, by one process or by several of which each holds some features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from lightning_factorlens.concepts.channels import channel_sums
from lightning_factorlens.concepts.fold_in import fold_in, relative_error
from lightning_factorlens.distributed import Partition
from lightning_factorlens.results import Block, ConceptBlock


def whole_block(blocks: Sequence[Block], b: int, partition: Partition) -> Block:
    """A block with the features of all processes."""
    return replace(blocks[b], samples=partition.gather_blocks([b], [blocks[b].samples])[0])


def join_blocks(blocks: Sequence[Block], F: Tensor, fitted: Sequence[str], partition: Partition) -> list[ConceptBlock]:
    """The factors of all blocks, each process having fitted those of its own features."""
    parts = [fold_in(block, F) for block in blocks]
    factors = partition.gather_factors([W for W, _, _ in parts])
    norms = [(error, energy) for _, error, energy in parts]
    norms_by_process = partition.process_group.all_gather_object(norms)
    found = []
    for b, (block, W) in enumerate(zip(blocks, factors)):
        error = math.hypot(*(of_process[b][0] for of_process in norms_by_process))
        energy = math.hypot(*(of_process[b][1] for of_process in norms_by_process))
        kept_features = None if block.kept_features is None else block.kept_features.cpu()
        rel_error = relative_error(error, energy)
        is_fitted = block.name in fitted
        found.append(ConceptBlock(block.name, block.kind, block.shape, kept_features, W.cpu(), rel_error, is_fitted))
    return found


def alive_blocks(blocks: Sequence[Block], partition: Partition) -> list[bool]:
    """Which blocks have values other than 0, in any process.

    Args:
        blocks: With the features of this process.
        partition: Which features these are.

    Example:
        >>> import torch
        >>> alive_blocks([Block("relu", "activation", torch.zeros(2, 3), (3,))], Partition())
        [False]
    """
    is_zero = [0.0 if bool(block.samples.any()) else 1.0 for block in blocks]
    return [value == 0 for value in partition.process_group.all_reduce_min(is_zero)]


def total_error(blocks: Sequence[ConceptBlock]) -> float:
    """Root mean square of the relative errors, which is the relative error where all blocks have the same weight."""
    squares = [block.rel_error**2 for block in blocks if not math.isnan(block.rel_error)]
    return math.sqrt(sum(squares) / len(squares)) if squares else math.nan


def last_layer(blocks: Sequence[Block], is_alive: Sequence[bool]) -> int:
    """Position of the last layer that is not zero; of the last block where all are."""
    chosen = len(blocks) - 1
    for b, block in enumerate(blocks):
        if block.kind == "activation" and is_alive[b]:
            chosen = b
    return chosen


def channel_means(block: Block) -> Tensor:
    """One number for each channel of each sample, the mean over its captured positions; shape (N, channels), float64.

    Example:
        >>> import torch
        >>> channel_means(Block("relu", "activation", torch.tensor([[1.0, 3.0, 5.0, 5.0]]), (2, 1, 2))).tolist()
        [[2.0, 5.0]]
    """
    sums, counts = channel_sums(block.samples.double(), block.shape, block.kept_features)
    return sums / counts.clamp_min(1)
