import numpy as np
import pytest
import torch
from matplotlib.image import AxesImage
from torch import nn

from lightning_factorlens.hierarchy import decomposition_panels
from lightning_factorlens.plots import decomposition_figure


def test_the_maps_are_the_rows_of_the_panels_on_one_scale_for_each():
    torch.manual_seed(0)
    panels = decomposition_panels(nn.Sequential(nn.Conv2d(2, 20, 3), nn.ReLU()), torch.randn(2, 2, 6, 5), "0", image=1)
    figure = decomposition_figure(panels, count=14)
    drawn = {image.get_gid(): image for image in figure.findobj(AxesImage) if image.get_gid()}
    names = ("fields", "projections", "signals", "outputs", "activation", "projected")
    values = (panels.fields, panels.projections, panels.signals, panels.outputs, panels.activation)
    for name, expected in zip(names, (*values, panels.projected_activation)):
        for number in range(14):
            image = drawn[f"{name}/{number}"]
            assert np.array_equal(image.get_array(), expected[number].numpy())
            assert image.get_clim() == (-float(expected.abs().max()), float(expected.abs().max()))
        assert f"{name}/14" not in drawn
    texts = [text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))]
    assert f"{float(panels.s[0]):.2g}" in texts
    assert "ReLU(Y + B)" in texts


def test_something_else_is_refused():
    with pytest.raises(ValueError, match="decomposition_panels"):
        decomposition_figure(torch.rand(3, 3))
