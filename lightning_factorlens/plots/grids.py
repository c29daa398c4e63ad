"""Columns of a factor W_b as maps: every row of the factor at the position of its feature."""

from __future__ import annotations

import math

import numpy as np

from lightning_factorlens.results import Factorization

#: Fraction of the cells of a map that must hold a kept feature; the grid is made coarser until they do.
MIN_FILLED = 0.75


def factor_maps(
    factorization: Factorization, rank_index: int, block_index: int, merge_channels: bool = False
) -> np.ndarray | None:
    """The columns of one block's factor as maps.

    A block of shape (H, W) has one map for each column and one of shape (C, H, W) has C. Where a feature budget kept
    only some features, cells of 2 × 2, 4 × 4 … features take the mean of those kept, as coarse as needed to fill three
    cells in four; a cell without any is NaN. Features without positions, as those of a linear layer, fill a grid that
    is nearly square in their order.

    Args:
        factorization: A factorisation whose ``shapes`` are known.
        rank_index: Position of the rank among its ranks.
        block_index: Position of the block.
        merge_channels: Whether a block of shape (C, H, W) has one map, the mean over its channels.

    Returns:
        Shape (rank, channels, height, width), float32; without a budget the factor's own values. None where the shape
        of the block is unknown, or the factor has another number of rows.
    """
    if block_index >= len(factorization.shapes):
        return None
    shape = factorization.shapes[block_index]
    kept = factorization.kept_features[block_index]
    columns = factorization.W[rank_index][block_index].detach().float().cpu().numpy().T
    n_rows = math.prod(shape) if kept is None else len(kept)
    if columns.shape[1] != n_rows:
        return None
    if len(shape) not in (2, 3):
        return _square_maps(columns)
    features = np.arange(n_rows) if kept is None else kept.cpu().numpy()
    if merge_channels:
        features = features % math.prod(shape[-2:])
        shape = shape[-2:]
    return _positioned_maps(columns, features, (1, *shape)[-3:])


def _square_maps(columns: np.ndarray) -> np.ndarray:
    """Rows in their order, in the smallest grid that is nearly square; cells left over are NaN."""
    rank, n_rows = columns.shape
    width = math.ceil(math.sqrt(n_rows))
    height = -(-n_rows // width)
    maps = np.full((rank, height * width), np.nan, dtype=np.float32)
    maps[:, :n_rows] = columns
    return maps.reshape(rank, 1, height, width)


def _positioned_maps(columns: np.ndarray, features: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Means of the rows whose features fall into one cell.

    Args:
        columns: Shape (rank, rows).
        features: The feature of each row, as an index into the flattened shape.
        shape: Channels, height and width of the block.
    """
    channels, height, width = shape
    channel, pixel = np.divmod(features, height * width)
    y, x = np.divmod(pixel, width)
    size = 1
    while True:
        cells_down = -(-height // size)
        cells_across = -(-width // size)
        n_cells = channels * cells_down * cells_across
        cell = (channel * cells_down + y // size) * cells_across + x // size
        count = np.bincount(cell, minlength=n_cells)
        is_filled = (count > 0).sum() >= MIN_FILLED * n_cells
        if is_filled or cells_down * cells_across == 1:
            break
        size *= 2
    sums = np.stack([np.bincount(cell, weights=column, minlength=n_cells) for column in columns])
    means = np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)
    return means.reshape(len(columns), channels, cells_down, cells_across).astype(np.float32)
