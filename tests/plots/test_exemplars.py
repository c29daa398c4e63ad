import numpy as np
import pytest
import torch
from matplotlib.image import AxesImage

from lightning_factorlens.hierarchy import exemplary_images
from lightning_factorlens.plots import exemplars_figure
from lightning_factorlens.results import Signals


def test_the_images_of_both_sides_are_drawn_for_the_chosen_vectors():
    torch.manual_seed(0)
    inputs = torch.rand(9, 3, 4, 4)
    exemplars = exemplary_images(Signals("fc", torch.randn(9, 3), torch.ones(3), torch.zeros(3)), count=2)
    figure = exemplars_figure(exemplars, inputs, vectors=[2, 0])
    drawn = {image.get_gid(): image.get_array() for image in figure.findobj(AxesImage)}
    expected = set()
    for vector in (2, 0):
        for side, images in (("positive", exemplars.positive), ("negative", exemplars.negative)):
            expected |= {f"{side}/{vector}/{k}/{image}" for k, image in enumerate(images[vector].tolist())}
    assert set(drawn) == expected
    for gid, pixels in drawn.items():
        image = inputs[int(gid.split("/")[-1])]
        stretched = (image - image.min()) / (image.max() - image.min())
        assert np.allclose(pixels, stretched.permute(1, 2, 0).numpy(), atol=1e-6)
    assert exemplars_figure(exemplars, torch.rand(9, 6)) is None
    with pytest.raises(ValueError, match="there are 3 vectors"):
        exemplars_figure(exemplars, inputs, vectors=[3])
    with pytest.raises(ValueError, match="^inputs: found 1 images"):
        exemplars_figure(exemplars, inputs[:1])
    array = exemplars_figure(exemplars, inputs.numpy(), vectors=[0])
    assert {image.get_gid() for image in array.findobj(AxesImage)} < set(drawn)
    for wrong in (list(inputs), "images", None):
        with pytest.raises(
            ValueError, match=r"^inputs: must be of type Tensor, found .* lens\.draw\(samples\)\.inputs"
        ):
            exemplars_figure(exemplars, wrong)
