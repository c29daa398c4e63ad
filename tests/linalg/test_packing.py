"""Tiles: every row once, every group in one piece, and few tiles."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.linalg.packing import packed_groups


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_tiles_hold_every_row_once_and_every_group_in_one_piece(sizes):
    sizes = tuple(sizes)
    packing = packed_groups(sizes, torch.device("cpu"))
    stacked = torch.arange(1.0, sum(sizes) * 3 + 1).view(-1, 3)
    packed = packing.pack(stacked)
    assert torch.equal(packing.unpack(packed), stacked)
    assert packed.sum() == stacked.sum() and packed.shape[1] == max(sizes)
    blocks = packing.grams([torch.full((r, r), float(k + 1)) for k, r in enumerate(sizes)])
    assert blocks.sum() == sum((k + 1) * r * r for k, r in enumerate(sizes))
    assert torch.equal(blocks != 0, packing.same_group)
    means = packing.group_means(blocks.diagonal(dim1=1, dim2=2))
    assert torch.equal(means, blocks.diagonal(dim1=1, dim2=2))  # the diagonal is constant in each group


def test_ranks_that_double_share_a_tile():
    assert packed_groups((1, 2, 4, 8, 16, 32), torch.device("cpu")).rows.shape == (2, 32)
    four_of_each = (1,) * 4 + (2,) * 4 + (4,) * 4 + (8,) * 4 + (16,) * 4
    assert packed_groups(four_of_each, torch.device("cpu")).rows.shape == (8, 16)
