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


def test_images_of_more_than_four_channels_give_one_block():
    images = torch.rand(5, 12, 4, 6)
    (block,) = input_blocks(images)
    assert (block.name, block.shape) == ("input/0", (12, 4, 6))
    assert torch.equal(block.samples, images.flatten(1))
    assert len(input_blocks(images[:, :4])) == 4


def test_blocks_are_views_of_inputs_that_need_no_change():
    for inputs in (torch.rand(5, 7), torch.rand(5, 1, 4, 4), torch.rand(5, 12, 4, 4)):
        assert input_blocks(inputs)[0].samples.data_ptr() == inputs.data_ptr()
    drawn = input_blocks(torch.rand(300, 1, 8, 8), max_neurons_per_layer=10)
    assert drawn[0].samples.shape == (300, 10) and drawn[0].kept_features is not None
    pixels = torch.randint(0, 255, (300, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(input_blocks(pixels)[2].samples, pixels[:, 2].flatten(1).float())
