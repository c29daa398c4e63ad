"""Blocks in the form in which they are computed with: one dtype, no negative values by mistake, no extreme units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.results import Block

#: Norms of a block outside of this range bring products out of the range of float32.
SAFE_NORMS = (1e-30, 1e30)
#: Largest power of two by which a block is multiplied; two to this power and its inverse are float32 numbers.
MAX_EXPONENT = 100


def prepare_blocks(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Converts the samples of all blocks to one dense floating-point dtype; blocks that have it stay as they are.

    The dtype is float64 if any block has it, and float32 otherwise: half precision, integers and booleans are
    converted.

    Args:
        blocks: Blocks as they were given.

    Returns:
        The blocks, without autograd graph.

    Raises:
        ValueError: Complex values, or blocks on different devices.

    Example:
        >>> pixels = Block("input/0", "input", torch.tensor([[0, 255]], dtype=torch.uint8), (2,))
        >>> prepare_blocks([pixels])[0].samples
        tensor([[  0., 255.]])
    """
    for block in blocks:
        if block.samples.is_complex():
            raise ValueError(
                f"blocks: block {block.name!r} has complex values ({block.samples.dtype}), which have no sign; "
                "pass their real part, their imaginary part or their magnitude."
            )
    devices = {str(block.samples.device) for block in blocks}
    if len(devices) > 1:
        raise ValueError(f"blocks: found samples on the devices {sorted(devices)}; move all blocks to one device.")
    has_double = any(block.samples.dtype == torch.float64 for block in blocks)
    dtype = torch.float64 if has_double else torch.float32
    prepared = []
    for block in blocks:
        dense = block.samples if block.samples.layout == torch.strided else block.samples.to_dense()
        samples = dense.detach().to(dtype)
        prepared.append(block if samples is block.samples else replace(block, samples=samples))
    return tuple(prepared)


def check_signs(block: Block) -> None:
    """Checks that a block without a signed factor has no negative values.

    Args:
        block: Samples in the blocks' dtype.

    Raises:
        ValueError: Negative values, to which no non-negative factor can be fitted.

    Example:
        >>> check_signs(Block("fc", "activation", torch.tensor([[1.0, -2.0]]), (2,)))
        Traceback (most recent call last):
        ValueError: blocks: block 'fc' has 1 negative values of 2, down to -2. Pass signed=True for a signed factor, ...
    """
    if block.signed or not block.samples.numel():
        return
    lowest = float(block.samples.min())
    if lowest < 0:
        n_negative = int((block.samples < 0).sum())
        raise ValueError(
            f"blocks: block {block.name!r} has {n_negative} negative values of {block.samples.numel()}, down to "
            f"{lowest:.3g}. Pass signed=True for a signed factor, or cut them off with samples.clamp_min(0)."
        )


def safe_unit(norms: Tensor) -> float:
    """Returns a power of two, by which a block is multiplied so that its products stay in the range of float32.

    Args:
        norms: Norms of the block's features in all processes.

    Returns:
        1.0 for all ordinary blocks.

    Example:
        >>> safe_unit(torch.tensor([3.0])), safe_unit(torch.tensor([2.0**-120]))
        (1.0, 1.2676506002282294e+30)
    """
    largest = float(norms.max())
    lower, upper = SAFE_NORMS
    if largest == 0 or lower <= largest <= upper:
        return 1.0
    exponent = -int(torch.frexp(torch.tensor(largest, dtype=torch.float64)).exponent)
    return 2.0 ** max(-MAX_EXPONENT, min(MAX_EXPONENT, exponent))
