import numpy as np
import pytest
import torch
from torch import nn

from lightning_factorlens.hierarchy import layer_signals, projection_maps, similarity_overlay

IMAGES = torch.randn(6, 3, 9, 8, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3)
    return nn.Sequential(convolution, nn.ReLU(), convolution_of_twice(), nn.Flatten(), nn.Linear(6 * 20, 4))


def convolution_of_twice():
    layer = nn.Conv2d(6, 6, 3, padding=1)
    return nn.Sequential(layer, nn.ReLU(inplace=True), layer)


@pytest.mark.parametrize("layer", ["0", "2.0", "4"])
def test_the_mean_of_a_heat_map_is_the_signal(layer):
    model = network()
    signals = layer_signals(model, IMAGES)[layer].values
    found = projection_maps(model, IMAGES, layer, images=[4, 1], vectors=[2, 0])
    assert found.maps.shape[:2] == (2, 2)
    assert (found.signals - signals[[4, 1]][:, [2, 0]]).abs().max() < 1e-5 * signals.abs().max()
    assert torch.equal(found.inputs, IMAGES[[4, 1]])


def test_an_overlay_is_one_at_its_anchor_which_is_by_default_where_the_signal_is_largest():
    model = network()
    chosen = similarity_overlay(model, IMAGES, "0", 3, others=[3, 0], position=(1, 2))
    assert abs(float(chosen.maps[0, 1, 2]) - 1) < 1e-6
    assert torch.equal(chosen.maps[0], chosen.maps[1])
    outputs = model[0](IMAGES[[3, 0]]).detach()
    expected = torch.cosine_similarity(outputs[1], outputs[0, :, 1, 2][:, None, None], dim=0)
    assert torch.allclose(chosen.maps[2], expected, atol=1e-5)
    largest = similarity_overlay(model, IMAGES, "0", 3)
    n_vectors = layer_signals(model, IMAGES, "0")["0"].values.shape[1]
    maps = projection_maps(model, IMAGES, "0", [3], range(n_vectors)).maps[0].abs().amax(0)
    assert maps[largest.position] == maps.max()
    assert abs(float(largest.maps[0][largest.position]) - 1) < 1e-6
    whole = similarity_overlay(model, IMAGES, "4", 3, position="image")
    assert whole.maps.shape == (1,) and abs(float(whole.maps[0]) - 1) < 1e-6


def test_positions_and_vectors_that_do_not_exist_are_refused():
    model = network()
    with pytest.raises(ValueError, match=r"on an axis of the grid \(5, 4\)"):
        similarity_overlay(model, IMAGES, "0", 0, position=(5, 0))
    with pytest.raises(ValueError, match="'largest', 'image'"):
        similarity_overlay(model, IMAGES, "0", 0, position="centre")
    with pytest.raises(ValueError, match="there are 4 vectors of layer '4', found 9"):
        projection_maps(model, IMAGES, "4", [0], [9])
    with pytest.raises(ValueError, match="vectors: found none"):
        projection_maps(model, IMAGES, "4", [0], [])
    for wrong in (1.5, "a", None, True, -1, 99):
        with pytest.raises(ValueError, match="^images: there are .* in the probe, found"):
            projection_maps(model, IMAGES, "4", [wrong], [0])
        with pytest.raises(ValueError, match="^vectors: there are 4"):
            projection_maps(model, IMAGES, "4", [0], [wrong])
        with pytest.raises(ValueError, match="^images: there are"):
            similarity_overlay(model, IMAGES, "4", wrong)
        with pytest.raises(ValueError, match=r"^position: "):
            similarity_overlay(model, IMAGES, "0", 0, position=(wrong, 0))
    with pytest.raises(ValueError, match="^images: must be a list, found 0"):
        projection_maps(model, IMAGES, "4", 0, [0])
    with pytest.raises(ValueError, match="^position: the grid .* found 1; "):
        similarity_overlay(model, IMAGES, "0", 0, position=1)


def test_positions_may_be_numbers_of_numpy_and_pytorch():
    model = network()
    expected = projection_maps(model, IMAGES, "0", [3, 1], [0]).maps
    assert torch.equal(projection_maps(model, IMAGES, "0", torch.tensor([3, 1]), np.array([0])).maps, expected)
