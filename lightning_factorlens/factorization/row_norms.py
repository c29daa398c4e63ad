"""Norms of feature rows, computed in one iteration over a block that also detects NaN and infinite values."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.results import Block

#: Rows whose squares are added up in float32; so few that the sum keeps its digits.
ROWS_PER_SUM = 64


#: Range of the norm of a block, between whose bounds the squares of its values and errors are float64 numbers.
NORM_RANGE = (1e-152, 1e152)


class NonFiniteError(ArithmeticError, ValueError):
    """Values with which no error can be computed; training may change them, so they are no wrong argument."""


def feature_row_norms(block: Block) -> Tensor:
    """Computes the norm of every feature row of a block.

    Args:
        block: Samples of shape (N, features).

    Returns:
        Shape (features,), float64.

    Raises:
        NonFiniteError: Values that are NaN or infinite, or whose squares leave the range of float64.

    Example:
        >>> feature_row_norms(Block("relu1", "activation", torch.tensor([[3.0, 0.0], [4.0, 1.0]]), (2,)))
        tensor([5., 1.], dtype=torch.float64)
    """
    norms = _column_norms(block.samples)
    total = float(norms.sum())
    if not 1e-12 < total < 1e15:  # the squares may have left the range of float32
        norms = torch.linalg.vector_norm(block.samples, dim=0, dtype=torch.float64)
        total = float(norms.sum())
    if not NORM_RANGE[0] < total < NORM_RANGE[1]:
        _check_range(block)
    return norms


def _check_range(block: Block) -> None:
    """Raises `NonFiniteError` unless all values are zero or there are none."""
    n_bad = int((~torch.isfinite(block.samples)).sum())
    if n_bad and block.kind == "input":
        raise NonFiniteError(
            f"blocks: the probe's inputs have NaN or infinite values, found in block {block.name!r}. If the model "
            "replaces them, let the lens read replaced ones: pass `forward_fn=` an object whose method "
            "`inputs(batch)` returns them; or pass `probe=` samples without such values."
        )
    if n_bad:
        raise NonFiniteError(
            f"blocks: block {block.name!r} has {n_bad} values that are NaN or infinite, of {block.samples.numel()}. "
            "Check the layer's outputs on the probe, or leave the layer out with `layers=`."
        )
    # In a run of several processes this process may have no features of the block.
    largest = float(block.samples.abs().max()) if block.samples.numel() else 0.0
    if largest > 0:
        size = "small" if largest < 1 else "large"
        raise NonFiniteError(
            f"blocks: the values of block {block.name!r} are too {size}: the largest magnitude is {largest:.3g}, and "
            f"their squares leave the range of {block.samples.dtype}. Divide the block by that value, and multiply "
            "the errors and W by it afterwards."
        )


def _column_norms(samples: Tensor) -> Tensor:
    """Returns ‖column‖, float64.

    On the CPU, torch's reduction over the first dimension does not read memory in order and takes four times as long.
    """
    if samples.device.type != "cpu":
        return torch.linalg.vector_norm(samples, dim=0).double()
    total = samples.new_zeros(samples.shape[1], dtype=torch.float64)
    for some_rows in samples.split(ROWS_PER_SUM):
        squares = samples.new_zeros(samples.shape[1])
        for row in some_rows.unbind(0):
            squares.addcmul_(row, row)
        total += squares
    return total.sqrt_()
