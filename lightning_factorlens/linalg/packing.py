"""Groups of components packed into square tiles of one size, so that one batched product serves all groups.

Groups of 1, 2, 4, 8, 16 and 32 components fill two tiles of 32 rows, not six. A product over these tiles costs little
more than the products of the groups alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor

from lightning_factorlens._private_api.tensors import tensor_base

#: Gram matrix of each group, or one Gram matrix of all components, of which only the groups' diagonal blocks are read.
Grams = Sequence[Tensor] | Tensor


@dataclass(frozen=True)
class PackedGroups:
    """Positions of the rows of a stacked factor in the tiles.

    Attributes:
        sizes: Number of components of each group.
        rows: Row of the stacked factor at each position, shape (tiles, side); R, one past the last row, at positions
            without a row.
        positions: Position of each row among the positions of all tiles, shape (R,).
        same_group: Whether two positions of a tile hold rows of one group, shape (tiles, side, side).
    """

    sizes: tuple[int, ...]
    rows: Tensor
    positions: Tensor
    same_group: Tensor

    def pack(self, stacked: Tensor) -> Tensor:
        """Maps (R, m) to (tiles, side, m), with zeros at positions without a row."""
        flat = stacked.new_zeros(self.rows.numel(), stacked.shape[1])
        return flat.index_copy_(0, self.positions, stacked).view(*self.rows.shape, -1)

    def unpack(self, packed: Tensor) -> Tensor:
        """Maps (tiles, side, m) to (R, m)."""
        return packed.flatten(0, 1).index_select(0, self.positions)

    def grams(self, G: Grams) -> Tensor:
        """Returns the groups' Gram matrices, shape (tiles, side, side), with zeros between groups."""
        flat, layout = as_flat(G, self.sizes)
        return flat[_gram_indices(self.sizes, layout, flat.device)].masked_fill_(~self.same_group, 0)

    def group_means(self, values: Tensor) -> Tensor:
        """Replaces values, shape (tiles, side), by the means of their groups; 0 at positions without a row."""
        same_group = self.same_group.to(values.dtype)
        return (same_group * values[:, None]).sum(2) / same_group.sum(2).clamp_min(1)

    def least_squares_(self, T: Tensor, B: Tensor, grams: Tensor, ridge: float) -> Tensor:
        """Writes the least squares solution of every group, without a sign constraint, into T.

        Args:
            T: Result, shape (R, m).
            B: Linear term, shape (R, m).
            grams: Result of `grams`.
            ridge: Added to the diagonal of each group's Gram matrix, as a multiple of its mean.

        Returns:
            T itself.
        """
        wide = grams.to(widest_dtype(grams.device))
        mean = self.group_means(wide.diagonal(dim1=1, dim2=2))[..., None]
        mean = torch.where(mean > torch.finfo(wide.dtype).tiny, mean, 1.0)
        identity = torch.eye(wide.shape[1], dtype=wide.dtype, device=wide.device)
        inverse = torch.linalg.inv_ex(wide / mean + ridge * identity)[0] / mean
        return T.copy_(self.unpack(inverse.to(B.dtype) @ self.pack(B)))


def first_gram(G: Grams) -> Tensor:
    """Returns one of the Gram matrices, for its device and dtype.

    Args:
        G: Gram matrix of each group, or one of all components.

    Returns:
        The first matrix of a sequence, or the matrix itself.
    """
    return G if isinstance(G, Tensor) else G[0]


def group_slices(sizes: Sequence[int]) -> list[slice]:
    """Returns the rows of each group in the stacked factor.

    Args:
        sizes: Number of components of each group.

    Returns:
        One slice per group.

    Example:
        >>> group_slices((1, 3))
        [slice(0, 1, None), slice(1, 4, None)]
    """
    return [slice(end - r, end) for end, r in zip(accumulate(sizes), sizes)]


def diagonal_blocks(G: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Returns views of the groups' diagonal blocks of one Gram matrix of all components.

    Args:
        G: Shape (R, R).
        sizes: Number of components of each group, R in total.

    Returns:
        One view of shape (r, r) per group.

    Example:
        >>> import torch
        >>> diagonal_blocks(torch.arange(9).view(3, 3), (1, 2))
        [tensor([[0]]), tensor([[4, 5],
                [7, 8]])]
    """
    return [G[rows, rows] for rows in group_slices(sizes)]


def as_flat(G: Grams, sizes: Sequence[int]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Returns a flat tensor that holds all Gram matrices, and the position of each in it.

    Blocks that are views of one matrix are not copied. Others are concatenated.

    Args:
        G: Gram matrix of each group, or one of all components.
        sizes: Number of components of each group.

    Returns:
        The flat tensor, and for each group the index of its Gram matrix's first entry and the distance between rows.

    Example:
        >>> import torch
        >>> as_flat([torch.ones(1, 1), torch.eye(2)], (1, 2))
        (tensor([1., 1., 0., 0., 1.]), ((0, 1), (1, 2)))
    """
    blocks = diagonal_blocks(G, sizes) if isinstance(G, Tensor) else G
    base = tensor_base(blocks[0])
    if base is None or any(tensor_base(block) is not base or block.stride(1) != 1 for block in blocks):
        offsets = accumulate((r * r for r in sizes), initial=0)
        return torch.cat([block.flatten() for block in blocks]), tuple(zip(offsets, sizes))
    first = min(int(block.storage_offset()) for block in blocks)
    layout = []
    length = 0
    for block, r in zip(blocks, sizes):
        offset = int(block.storage_offset() - first)
        stride = int(block.stride(0))
        layout.append((offset, stride))
        length = max(length, offset + (r - 1) * stride + r)
    return blocks[0].as_strided((length,), (1,), first), tuple(layout)


@lru_cache(maxsize=64)
def _gram_indices(sizes: tuple[int, ...], layout: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Index into the flat tensor of `as_flat` of the Gram entry at each pair of positions of a tile.

    Args:
        sizes: Number of components of each group.
        layout: Second result of `as_flat`.
        device: Device of the result.

    Returns:
        Shape (tiles, side, side); 0 between groups.
    """
    packing = packed_groups(sizes, torch.device("cpu"))
    side = max(sizes)
    row_start = torch.zeros(packing.rows.numel(), dtype=torch.long)  # index of the first entry of a Gram matrix's row
    group_start = torch.zeros(packing.rows.numel(), dtype=torch.long)  # position of the group's first row
    for rows, r, (offset, stride) in zip(group_slices(sizes), sizes, layout):
        positions = packing.positions[rows]
        row_start[positions] = offset + stride * torch.arange(r)
        group_start[positions] = positions[0]
    # The positions of a group are consecutive.
    column = torch.arange(side) - group_start.view(-1, side) % side
    indices = row_start.view(-1, side)[:, :, None] + column[:, None, :]
    return torch.where(packing.same_group, indices, 0).to(device)


def widest_dtype(device: torch.device) -> torch.dtype:
    """Returns float64 where the backend supports it, otherwise float32.

    Args:
        device: Device of the computation.

    Returns:
        The dtype.

    Example:
        >>> import torch
        >>> widest_dtype(torch.device("cpu"))
        torch.float64
    """
    return torch.float32 if device.type == "mps" else torch.float64


@lru_cache(maxsize=64)
def packed_groups(sizes: tuple[int, ...], device: torch.device) -> PackedGroups:
    """Packs groups into tiles by first fit, the largest group first. The largest group determines the side of a tile.

    Args:
        sizes: Number of components of each group, in the order in which they are stacked.
        device: Device of the index tensors.

    Returns:
        The positions of all rows.

    Example:
        >>> import torch
        >>> packed_groups((1, 2, 4), torch.device("cpu")).rows
        tensor([[3, 4, 5, 6],
                [1, 2, 0, 7]])
    """
    n_rows = sum(sizes)
    side = max(sizes)
    tiles = _first_fit(sizes, side)
    slices = group_slices(sizes)
    rows = torch.full((len(tiles), side), n_rows)
    owner = torch.full((len(tiles), side), -1)
    for tile_rows, tile_owner, tile in zip(rows, owner, tiles):
        offset = 0
        for group in tile:
            end = offset + sizes[group]
            tile_rows[offset:end] = torch.arange(slices[group].start, slices[group].stop)
            tile_owner[offset:end] = group
            offset = end
    positions = rows.flatten().argsort(stable=True)[:n_rows]  # positions without a row are sorted last
    is_row = (owner >= 0)[:, :, None]
    same_group = (owner[:, :, None] == owner[:, None, :]) & is_row
    return PackedGroups(sizes, rows.to(device), positions.to(device), same_group.to(device))


def _first_fit(sizes: Sequence[int], side: int) -> list[list[int]]:
    """Groups of each tile: every group, the largest first, goes into the first tile that has space for it."""
    tiles: list[list[int]] = []
    free: list[int] = []  # unused rows of each tile
    for group in sorted(range(len(sizes)), key=lambda group: -sizes[group]):
        tile = 0
        while tile < len(tiles) and free[tile] < sizes[group]:
            tile += 1
        if tile == len(tiles):
            tiles.append([])
            free.append(side)
        tiles[tile].append(group)
        free[tile] -= sizes[group]
    return tiles
