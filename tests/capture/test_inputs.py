"""Inputs as blocks: channels of images, feature vectors, and counts of token ids."""

import torch

from lightning_factorlens.capture.inputs import input_blocks, token_counts


def test_images_give_one_block_for_each_channel():
    x = torch.randn(5, 3, 4, 6)
    blocks = input_blocks(x)
    assert [b.name for b in blocks] == ["input/0", "input/1", "input/2"]
    assert torch.equal(blocks[1].samples, x[:, 1].flatten(1))
    assert blocks[1].shape == (4, 6)
    assert [b.name for b in input_blocks(torch.rand(5, 7))] == ["input/0"]


def test_token_ids_are_counted():
    ids = torch.tensor([[4, 2, 4], [2, 2, 9]])
    assert token_counts(ids).tolist() == [[1, 2, 0], [2, 0, 1]]
    (block,) = input_blocks(ids)
    assert torch.equal(block.samples, token_counts(ids))
    (block,) = input_blocks(ids.to(torch.uint8))  # amounts, such as pixels
    assert torch.equal(block.samples, ids.float())
