"""Groups of components packed into square tiles of one size, so that one batched product serves all of them.

Ranks 1, 2, 4 … 32 fill two tiles of 32 rows, not six: a product over tiles costs little more than the groups alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from lightning_factorlens._private_api import tensor_base

#: Gram matrix of each group, or one of all components, of which only the groups' diagonal blocks are read.
Grams = Sequence[Tensor] | Tensor


@dataclass(frozen=True)
class PackedGroups:
    """Where the rows of a stacked factor stand.

    Attributes:
        sizes: Components of each group.
        rows: Row at each place of each tile, shape (tiles, side); R, one past the last row, where there is none.
        place: Place of each row among all tiles' places, shape (R,).
        together: Whether two places of a tile hold rows of one group, shape (tiles, side, side).
    """

    sizes: tuple[int, ...]
    rows: Tensor
    place: Tensor
    same_group: Tensor

    def pack(self, stacked: Tensor) -> Tensor:
        """(R, m) → (tiles, side, m), zeros where there is no row."""
        flat = stacked.new_zeros(self.rows.numel(), stacked.shape[1])
        return flat.index_copy_(0, self.place, stacked).view(*self.rows.shape, -1)

    def unpack(self, packed: Tensor) -> Tensor:
        """(tiles, side, m) → (R, m)."""
        return packed.flatten(0, 1).index_select(0, self.place)

    def grams(self, G: Grams) -> Tensor:
        """The groups' Gram matrices, shape (tiles, side, side), zeros between groups."""
        flat, layout = as_flat(G, self.sizes)
        return flat[_entries(self.sizes, layout, flat.device)].masked_fill_(~self.same_group, 0)

    def group_means(self, values: Tensor) -> Tensor:
        """The mean over its group, at every place: (tiles, side) → (tiles, side); 0 where there is no row."""
        mates = self.same_group.to(values.dtype)
        return (mates * values[:, None]).sum(2) / mates.sum(2).clamp_min(1)

    def least_squares_(self, T: Tensor, B: Tensor, grams: Tensor, ridge: float) -> Tensor:
        """`nnls.least_squares_` for every group at once.

        Args:
            T: Result, shape (R, m).
            B: Linear term, shape (R, m).
            grams: As `grams` gives them.
            ridge: Relative to the mean diagonal of a group's Gram matrix.

        Returns:
            T itself.
        """
        wide = grams.to(widest_dtype(grams.device))
        mean = self.group_means(wide.diagonal(dim1=1, dim2=2))[..., None]
        mean = torch.where(mean > torch.finfo(wide.dtype).tiny, mean, 1.0)
        eye = torch.eye(wide.shape[1], dtype=wide.dtype, device=wide.device)
        inverse = torch.linalg.inv_ex(wide / mean + ridge * eye)[0] / mean
        return T.copy_(self.unpack(inverse.to(B.dtype) @ self.pack(B)))


def diagonal_blocks(G: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Views of the groups' blocks of one Gram matrix of all components."""
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [G[end - r : end, end - r : end] for end, r in zip(ends, sizes)]


def as_flat(G: Grams, sizes: Sequence[int]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """A flat tensor that holds all Gram matrices; where each begins in it, and how far apart its rows are.

    Blocks of one product stay where they are; others are put one behind the other.
    """
    blocks = diagonal_blocks(G, sizes) if isinstance(G, Tensor) else G
    base = tensor_base(blocks[0])
    if base is None or any(tensor_base(g) is not base or g.stride(1) != 1 for g in blocks):
        squares = torch.tensor([0, *(r * r for r in sizes)]).cumsum(0).tolist()
        return torch.cat([g.flatten() for g in blocks]), tuple(zip(squares, sizes))
    first = min(int(g.storage_offset()) for g in blocks)
    layout = tuple((int(g.storage_offset() - first), int(g.stride(0))) for g in blocks)
    length = max(at + (r - 1) * stride + r for (at, stride), r in zip(layout, sizes))
    return blocks[0].as_strided((length,), (1,), first), layout


@lru_cache(maxsize=64)
def _entries(sizes: tuple[int, ...], layout: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Where in `one_memory` the entry at each two places of a tile is, shape (tiles, side, side); 0 between groups."""
    places, side = packed_groups(sizes, torch.device("cpu")), max(sizes)
    starts = torch.zeros(places.rows.numel(), 2, dtype=torch.long)  # of the Gram matrix's row, of its group's rows
    first = 0
    for r, (at, stride) in zip(sizes, layout):
        own = places.place[first : first + r]
        starts[own, 0], starts[own, 1] = at + stride * torch.arange(r), own[0]
        first += r
    row, group = starts.view(-1, side, 2).unbind(2)
    column = torch.arange(side) - group % side  # places of a group follow each other
    return torch.where(places.same_group, row[:, :, None] + column[:, None, :], 0).to(device)


def widest_dtype(device: torch.device) -> torch.dtype:
    """float64, where the backend has it."""
    return torch.float32 if device.type == "mps" else torch.float64


@lru_cache(maxsize=64)
def packed_groups(sizes: tuple[int, ...], device: torch.device) -> PackedGroups:
    """Packs groups into as few tiles as first fit finds, the largest group first; the largest gives the side.

    Args:
        sizes: Components of each group, in the order in which they are stacked.
        device: Where the tables are wanted.
    """
    R, side = sum(sizes), max(sizes)
    firsts = torch.tensor([0, *sizes]).cumsum(0).tolist()
    filled: list[list[int]] = []  # the groups of each tile
    for k in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
        room = [tile for tile in filled if sum(sizes[i] for i in tile) + sizes[k] <= side]
        if room:
            room[0].append(k)
        else:
            filled.append([k])
    rows, owner = torch.full((len(filled), side), R), torch.full((len(filled), side), -1)
    for t, tile in enumerate(filled):
        at = 0
        for k in tile:
            rows[t, at : at + sizes[k]] = torch.arange(firsts[k], firsts[k] + sizes[k])
            owner[t, at : at + sizes[k]] = k
            at += sizes[k]
    place = rows.flatten().argsort(stable=True)[:R]  # the places that hold no row come last
    together = (owner[:, :, None] == owner[:, None, :]) & (owner >= 0)[:, :, None]
    return PackedGroups(sizes, rows.to(device), place.to(device), together.to(device))
