"""Masks keep exactly half of the pixels of every channel, of any latent image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_concepts import image_concepts

from lightning_factorlens.concepts import masked_image, pixel_mask


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_exactly_half_of_the_pixels_by_rank(height, width, channels, density, levels, seed):
    g = torch.Generator().manual_seed(seed)
    pixels = torch.randint(1, levels + 1, (2, channels, height, width), generator=g).double()
    pixels *= torch.rand(pixels.shape, generator=g) < density
    concepts = image_concepts(pixels)
    half = height * width // 2
    for k in range(2):
        mask = pixel_mask(concepts, k)
        assert mask.sum((1, 2)).tolist() == [half] * channels
        for channel in range(channels):
            values = pixels[k, channel].flatten().tolist()
            order = sorted(range(len(values)), key=lambda i: (-values[i], i))
            assert mask[channel].flatten().nonzero().flatten().tolist() == sorted(order[:half])


def test_the_mask_and_its_inverse_divide_the_image():
    pixels = torch.rand(1, 3, 5, 5)
    inputs = torch.rand(4, 3, 5, 5) - 0.5
    concepts = image_concepts(pixels, inputs)
    mask = pixel_mask(concepts, 0)
    inside = masked_image(concepts, 0, image=2)
    outside = masked_image(concepts, 0, image=2, inverse=True)
    assert torch.equal(inside[mask], inputs[2][mask])
    assert torch.equal(outside[~mask], inputs[2][~mask])
    for channel in range(3):
        black = inputs[:, channel].min()
        assert (inside[channel][~mask[channel]] == black).all()
        assert (outside[channel][mask[channel]] == black).all()


def test_inputs_without_images_have_no_mask():
    concepts = image_concepts(torch.rand(1, 1, 3, 3), torch.rand(4, 9))
    with pytest.raises(ValueError, match="are no images"):
        pixel_mask(concepts, 0)


@pytest.mark.parametrize("image", [-1, 5, 1.0])
def test_a_position_outside_of_the_probe_has_no_masked_image(image):
    with pytest.raises(ValueError, match="^image: "):
        masked_image(image_concepts(torch.rand(1, 1, 3, 3)), 0, image)
