import numpy as np
import torch
from matplotlib.image import AxesImage

from lightning_factorlens.plots import projection_figure
from lightning_factorlens.results import ProjectionMaps


def test_maps_lie_in_diverging_colours_over_their_images():
    torch.manual_seed(0)
    found = torch.randn(2, 3, 4, 5)
    maps = ProjectionMaps(
        "conv", torch.tensor([7, 4]), torch.tensor([1, 0, 5]), torch.ones(3), found, torch.rand(2, 1, 8, 8)
    )
    figure = projection_figure(maps)
    drawn = {image.get_gid(): image for image in figure.findobj(AxesImage) if image.get_gid()}
    assert len(drawn) == 2 * (1 + 2 * 3)
    for row, image in enumerate((7, 4)):
        for column, vector in enumerate((1, 0, 5)):
            tile = drawn[f"map/{image}/{vector}"]
            bound = float(found[:, column].abs().max())
            assert np.array_equal(tile.get_array(), found[row, column].numpy())
            assert tile.get_clim() == (-bound, bound)
            assert tile.get_alpha() < 1
            below = drawn[f"map/{image}/{vector}/image"]
            assert tile.get_extent() == below.get_extent()
            assert np.allclose(tile.cmap(0.5)[:3], 1, atol=0.05)
