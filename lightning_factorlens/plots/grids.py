"""Rows of a factor put back where they stood: a column of W_b as pixel maps."""

from __future__ import annotations

import math

import numpy as np

from lightning_factorlens.results import Factorization

#: Of the cells of a map, so many must hold a kept feature; the grid is made coarser until they do.
FILLED = 0.75


def factor_maps(factorization: Factorization, at: int, block: int) -> np.ndarray | None:
    """The columns of one block's factor as pictures.

    A block of shape (H, W) has one map a column and one of (C, H, W) has C. Where a feature budget kept only some,
    cells of 2 × 2, 4 × 4 … features take the mean of those kept, as coarse as it needs to fill three cells in four; a
    cell without any is NaN. Features without places, as a linear layer's, fill a near-square grid in their order.

    Args:
        factorization: Of which the shapes are known.
        at: Place of the rank among its ranks.
        block: Place of the block.

    Returns:
        Shape (rank, channels, height, width), float32; without a budget the factor's own values. None where nobody
        said what shape the block has, or the factor does not have as many rows.
    """
    if block >= len(factorization.shapes):
        return None
    shape, index = factorization.shapes[block], factorization.kept_features[block]
    columns = factorization.W[at][block].detach().float().cpu().numpy().T
    features = math.prod(shape)
    if columns.shape[1] != (features if index is None else len(index)):
        return None
    placed = len(shape) in (2, 3)
    rows = index.cpu().numpy() if placed and index is not None else np.arange(columns.shape[1])
    channels, height, width = (1, *shape)[-3:] if placed else _square(len(rows))
    channel, place = np.divmod(rows, height * width)
    y, x = np.divmod(place, width)
    coarse = 1
    while True:
        h, w = -(-height // coarse), -(-width // coarse)
        cell = (channel * h + y // coarse) * w + x // coarse
        count = np.bincount(cell, minlength=channels * h * w)
        if not placed or (count > 0).sum() >= FILLED * len(count) or h * w == 1:
            break
        coarse *= 2
    sums = np.stack([np.bincount(cell, weights=c, minlength=len(count)) for c in columns])
    means = np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)
    return means.reshape(len(columns), channels, h, w).astype(np.float32)


def _square(features: int) -> tuple[int, int, int]:
    """One channel, at least as many places as features, nearly as high as wide."""
    width = math.ceil(math.sqrt(features))
    return 1, -(-features // width), width
