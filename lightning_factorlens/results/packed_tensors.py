"""Tensors as short text, for files that keep the pictures of an observation.

Images take 256 levels and at most 96 pixels a side, so that those of an observation take about a megabyte; every other
tensor keeps its bits.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Largest side of a stored picture in pixels: more than a page shows.
MAX_SIDE = 96
LEVELS = 255


def pack_tensor(tensor: Tensor) -> dict[str, Any]:
    """A tensor as a dictionary that JSON has a form for.

    Args:
        tensor: Any tensor. One of floating-point numbers with three or more axes is an image, of which 256 levels
            between its smallest and its largest finite value are kept.

    Returns:
        Shape, data type, and the compressed numbers in base 64.

    Example:
        >>> image = torch.tensor([[[0.0, 1.0], [3.0, 4.0]]])
        >>> bool((unpack_tensor(pack_tensor(image)) - image).abs().max() < 0.01)
        True
        >>> unpack_tensor(pack_tensor(torch.tensor([0.1, 7.0])))
        tensor([0.1000, 7.0000])
    """
    values = tensor.detach().cpu()
    if not values.is_floating_point() or values.ndim < 3:
        exact = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        return _packed(exact)
    small = small_images(values.double())
    finite = small[small.isfinite()]
    low = float(finite.min()) if len(finite) else 0.0
    high = float(finite.max()) if len(finite) else 0.0
    span = (high - low) or 1.0
    levels = ((small.nan_to_num(low, high, low) - low) / span * LEVELS).round().to(torch.uint8)
    return {**_packed(levels), "low": low, "high": high}


def unpack_tensor(packed: dict[str, Any]) -> Tensor:
    """The tensor of `pack_tensor`.

    Args:
        packed: From `pack_tensor`.

    Returns:
        The tensor; an image in float64.
    """
    numbers = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), dtype=packed["dtype"])
    values = torch.from_numpy(numbers.copy()).reshape(packed["shape"])
    if "low" not in packed:
        return values
    low, high = packed["low"], packed["high"]
    return low + (high - low) * values.double() / LEVELS


def small_images(images: Tensor) -> Tensor:
    """Images of at most `MAX_SIDE` pixels: means over squares of larger ones, the images themselves else.

    Args:
        images: Shape (…, H, W).

    Returns:
        Shape (…, h, w).

    Example:
        >>> small_images(torch.ones(2, 3, 224, 224)).shape, small_images(torch.ones(3, 32, 32)).shape
        (torch.Size([2, 3, 74, 74]), torch.Size([3, 32, 32]))
    """
    size = -(-max(images.shape[-2:]) // MAX_SIDE)
    if size <= 1:
        return images
    # A side that is shorter than a square is one pixel.
    kernel = [min(size, side) for side in images.shape[-2:]]
    flat = images.reshape(-1, 1, *images.shape[-2:])
    small = torch.nn.functional.avg_pool2d(flat if flat.is_floating_point() else flat.float(), kernel)
    return small.reshape(*images.shape[:-2], *small.shape[-2:])


def _packed(values: Tensor) -> dict[str, Any]:
    array = values.contiguous().numpy()
    data = base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")
    return {"shape": list(array.shape), "dtype": str(array.dtype), "data": data}
