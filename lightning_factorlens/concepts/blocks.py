"""The blocks to which concepts are fitted: all pixels of the probe, and the captured layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.capture.signs import SignPolicy, apply_sign_policy, resolve_sign_policy
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
    input_policy = resolve_sign_policy("input_sign_policy", input_sign_policy)
    activation_policy = resolve_sign_policy("activation_sign_policy", activation_sign_policy)
    device = layers[-1].samples.device if layers else inputs.device
    if device.type == "mps":
        device = torch.device("cpu")
    blocks: list[Block] = []
    for block in [*input_blocks(inputs), *layers]:
        samples = block.samples.detach().to(device)
        n_wrong = int((~samples.isfinite()).sum())
        if n_wrong:
            raise ValueError(
                f"probe: {n_wrong} of {samples.numel()} values of block {block.name!r} are NaN or infinite, so that "
                "no concepts can be found. Remove the samples that cause them, or leave the layer out with "
                "LensOptions(layers=…)."
            )
        policy = input_policy if block.kind == "input" else activation_policy
        blocks += apply_sign_policy(replace(block, samples=samples), policy)
    return blocks
