"""The blocks to which concepts are fitted: all pixels of the probe, and the captured layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.capture.distributed import apply_sign_policies_distributed
from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.capture.signs import SignPolicy, resolve_sign_policy
from lightning_factorlens.distributed import Partition
from lightning_factorlens.results import Block


def concept_blocks(
    inputs: Tensor,
    layers: Sequence[Block],
    input_sign_policy: str | SignPolicy = "shift",
    activation_sign_policy: str | SignPolicy = "rectify",
) -> list[Block]:
    """The blocks that `fit_late` takes: all pixels of the inputs, then the layers, non-negative and on one device.

    Args:
        inputs: The probe, shape (N, …).
        layers: The captured layers, in the order of the forward pass.
        input_sign_policy: See `LensOptions`.
        activation_sign_policy: See `LensOptions`.

    Returns:
        The blocks, on the device of the layers; on the CPU where that has no float64.

    Raises:
        ValueError: Values that are NaN or infinite; the message names the block.

    Example:
        >>> relu = Block("relu", "activation", torch.ones(4, 3), (3,))
        >>> [block.name for block in concept_blocks(torch.rand(4, 1, 2, 2), [relu])]
        ['input/0', 'relu']
    """
    reason = not_finite(Partition(), inputs, layers)
    if reason:
        remedy = "Remove the samples that cause them"
        if not not_finite(Partition(), inputs, []):
            remedy += ", or leave the layer out with LensOptions(layers=…)"
        raise ValueError(f"probe: {reason}, so that no concepts can be found. {remedy}.")
    blocks, _ = shared_concept_blocks(Partition(), inputs, layers, input_sign_policy, activation_sign_policy)
    return blocks


def shared_concept_blocks(
    partition: Partition,
    inputs: Tensor,
    layers: Sequence[Block],
    input_sign_policy: str | SignPolicy,
    activation_sign_policy: str | SignPolicy,
) -> tuple[list[Block], Partition]:
    """`concept_blocks` of several processes.

    Args:
        partition: Which features of the layers this process holds.
        inputs: The probe, the same in all processes.
        layers: The captured layers with this process's features.
        input_sign_policy: See `LensOptions`.
        activation_sign_policy: See `LensOptions`.

    Returns:
        The blocks with this process's features, and their partition.
    """
    device = layers[-1].samples.device if layers else inputs.device
    if device.type == "mps":
        device = torch.device("cpu")
    return apply_sign_policies_distributed(
        partition,
        [_moved(block, device) for block in input_blocks(inputs)],
        [_moved(block, device) for block in layers],
        resolve_sign_policy("input_sign_policy", input_sign_policy),
        resolve_sign_policy("activation_sign_policy", activation_sign_policy),
    )


def _moved(block: Block, device: torch.device) -> Block:
    return replace(block, samples=block.samples.detach().to(device))


def not_finite(partition: Partition, inputs: Tensor, layers: Sequence[Block]) -> str:
    """The first block with values that are NaN or infinite, in words, equal in all processes; empty without one.

    Args:
        partition: See `shared_concept_blocks`.
        inputs: See `shared_concept_blocks`.
        layers: See `shared_concept_blocks`.

    Example:
        >>> relu = Block("relu", "activation", torch.full((4, 3), torch.inf), (3,))
        >>> not_finite(Partition(), torch.rand(4, 3), [relu])
        "12 of 12 values of block 'relu' are NaN or infinite"
    """
    whole = input_blocks(inputs)
    own = torch.tensor([_counts(block) for block in layers], dtype=torch.float64).reshape(-1, 2)
    summed = partition.process_group.all_reduce_sum(own).tolist()
    counts = [_counts(block) for block in whole] + summed
    for block, (n_wrong, n_values) in zip([*whole, *layers], counts):
        if n_wrong:
            return f"{int(n_wrong)} of {int(n_values)} values of block {block.name!r} are NaN or infinite"
    return ""


def _counts(block: Block) -> tuple[float, float]:
    """Number of the values that are not finite, and of all."""
    return float((~block.samples.isfinite()).sum()), float(block.samples.numel())
