"""How far two captures of the same samples differ."""

from __future__ import annotations

import torch

from lightning_factorlens.capture.activations import Capture


def largest_difference(own: Capture, read: Capture) -> float:
    """The largest difference between two captures, relative to the largest value of each block or of the outputs.

    Args:
        own: A capture.
        read: Another one of the same samples and layers.

    Returns:
        0 where all bits are equal; infinite where one has no outputs and the other has, or a value is not finite.
    """
    if (own.outputs is None) != (read.outputs is None) or len(own.layers) != len(read.layers):
        return float("inf")
    pairs = [(first.samples, second.samples) for first, second in zip(own.layers, read.layers)]
    if own.outputs is not None and read.outputs is not None:
        pairs.append((own.outputs, read.outputs))
    largest = 0.0
    for first, second in pairs:
        if first.shape != second.shape or not bool(torch.isfinite(first - second).all()):
            return float("inf")
        if not torch.equal(first, second):
            scale = float(first.abs().max())
            largest = max(largest, float((first - second).abs().max()) / scale if scale else float("inf"))
    return largest
