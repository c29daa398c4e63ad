"""Whether the numbers along an axis are probabilities, up to the rounding of the dtype that they were computed in."""

from __future__ import annotations

import torch
from torch import Tensor

#: Smallest tolerance of the sums: that of probabilities in float32 or float64.
MIN_TOLERANCE = 1e-3
#: Dtypes whose rounding may be larger than that, the coarser one first.
COARSE_DTYPES = (torch.bfloat16, torch.float16)


def sums_to_one(values: Tensor, axis: int = 1) -> bool:
    """Whether all numbers are non-negative and sum to 1 along an axis; one decision for the whole tensor.

    Lines that hold a NaN are not considered. The tolerance is twice the machine epsilon of the dtype that the numbers
    were computed in, and at least `MIN_TOLERANCE`: 0.016 in bfloat16, 0.002 in float16, 0.001 in all others. Numbers
    that are stored in a wider dtype but are all exact in a narrower one were computed in the narrower one.

    Args:
        values: Real numbers.
        axis: The axis of the classes.

    Returns:
        False also where there is nothing to consider.

    Example:
        >>> sums_to_one(torch.tensor([[0.5, 0.5], [0.25, 0.75]])), sums_to_one(torch.tensor([[0.5, 0.5], [2.0, 0.0]]))
        (True, False)
    """
    if not values.is_floating_point():
        values = values.double()
    sums = values.detach().sum(axis, dtype=torch.promote_types(values.dtype, torch.float32))
    is_known = ~values.isnan().any(axis)
    if not bool(is_known.any()):
        return False
    is_negative = (values < 0).any(axis) & is_known
    error = torch.where(is_known, (sums - 1).abs(), 0.0).max()
    return not bool(is_negative.any()) and bool(error < _tolerance(values, axis))


def _tolerance(values: Tensor, axis: int) -> float:
    """More than the largest error of the sum, where exponentials, their sum and the ratios are rounded."""
    dtype = values.dtype
    for coarse in COARSE_DTYPES:
        if torch.equal(values.nan_to_num(), values.nan_to_num().to(coarse).to(values.dtype)):
            dtype = coarse
            break
    limits = torch.finfo(dtype)
    subnormal = limits.smallest_normal * limits.eps
    return max(MIN_TOLERANCE, 2 * limits.eps + values.shape[axis] * subnormal)
