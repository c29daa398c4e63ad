"""Latent images by channel and in colour."""

import pytest
import torch
from made_concepts import image_concepts, make_concepts
from small_lens import make_net, make_probe
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.concepts import colour_image, latent_image


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_latent_image_is_the_factors_column_by_channel(channels):
    pixels = torch.rand(3, channels, 5, 4)
    concepts = image_concepts(pixels)
    for k in range(3):
        torch.testing.assert_close(latent_image(concepts, k), pixels[k].double())


def test_images_of_many_channels_have_one_block_and_as_many_latent_images():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    concepts = FactorLens(net).concepts(torch.rand(9, 6, 5, 5), rank=2)
    assert latent_image(concepts, 1).shape == (6, 5, 5)
    assert colour_image(concepts, 1).shape == (5, 5, 3)


def test_all_pixels_are_joined_whatever_the_feature_budget():
    lens = FactorLens(make_net(), LensOptions(max_neurons_per_layer=10))
    assert latent_image(lens.concepts(make_probe(), rank=2), 0).shape == (1, 8, 8)


def test_colours_have_one_scale_for_the_three_channels():
    pixels = torch.rand(1, 3, 4, 4) + 0.1
    colour = colour_image(image_concepts(pixels), 0)
    torch.testing.assert_close(colour, (pixels[0] / pixels.max()).permute(1, 2, 0).double())


def test_grey_is_the_mean_of_other_numbers_of_channels():
    pixels = torch.rand(1, 2, 4, 4)
    colour = colour_image(image_concepts(pixels), 0)
    mean = pixels[0].mean(0)
    for channel in range(3):
        torch.testing.assert_close(colour[..., channel], (mean / mean.max()).double())


def test_an_empty_latent_image_is_black():
    assert not colour_image(image_concepts(torch.zeros(1, 3, 4, 4)), 0).any()


def test_the_two_parts_of_a_split_channel_are_one_image():
    lens = FactorLens(make_net(), LensOptions(input_sign_policy="split"))
    concepts = lens.concepts(make_probe() - 0.5, rank=2)
    image = latent_image(concepts, 0)
    assert image.shape == (1, 8, 8)
    expected = concepts["input/0/pos"].W[:, 0] - concepts["input/0/neg"].W[:, 0]
    torch.testing.assert_close(image.flatten(), expected)
    colour = colour_image(concepts, 0)
    assert float(colour.min()) == 0
    assert float(colour.max()) == 1


def test_inputs_that_are_no_images_have_no_latent_image():
    concepts = make_concepts(torch.rand(2, 6), [("input/0", "input", (7,), torch.rand(7, 2))], torch.rand(6, 7))
    with pytest.raises(ValueError, match=r"the inputs have the shape \(6, 7\) and are no images"):
        latent_image(concepts, 0)
    sequences = make_concepts(torch.rand(2, 6), [("input/0", "input", (7, 3), torch.rand(21, 2))], torch.rand(6, 7, 3))
    with pytest.raises(ValueError, match="no concept has a latent image"):
        colour_image(sequences, 0)
