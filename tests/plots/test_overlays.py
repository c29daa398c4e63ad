import numpy as np
import torch
from matplotlib.collections import PathCollection
from matplotlib.image import AxesImage

from lightning_factorlens.plots import overlay_figure
from lightning_factorlens.results import SimilarityOverlay


def test_cosines_are_drawn_from_minus_one_to_one_with_a_mark_at_the_anchor():
    cosines = torch.rand(2, 4, 4) * 2 - 1
    overlay = SimilarityOverlay("conv", torch.tensor([3, 1]), (0, 3), cosines, torch.rand(2, 3, 8, 8))
    figure = overlay_figure(overlay)
    drawn = {image.get_gid(): image for image in figure.findobj(AxesImage) if image.get_gid()}
    for column, image in enumerate((3, 1)):
        tile = drawn[f"map/{column}/{image}"]
        assert np.array_equal(tile.get_array(), cosines[column].numpy())
        assert tile.get_clim() == (-1, 1)
    (mark,) = [points for points in figure.findobj(PathCollection) if points.get_gid() == "anchor"]
    left, right, bottom, top = drawn["map/0/3"].get_extent()
    x, y = mark.get_offsets()[0]
    assert np.isclose((x - left) / (right - left), 3.5 / 4)
    assert np.isclose((y - top) / (bottom - top), 0.5 / 4)
