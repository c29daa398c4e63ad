"""The maps of hidden layers are columns of the factors."""

from dataclasses import replace

import numpy as np
import pytest
from artists import by_id
from matplotlib.figure import Figure

from lightning_factorlens.plots.layer_factors import layer_factors_figure
from lightning_factorlens.plots.style import to_array


def test_maps_are_the_factors(observe):
    o = observe()
    f, index = o.factorization, o.factorization.ranks.index(8)
    images = by_id(layer_factors_figure([o]).axes[0].images)
    drawn = {name.rsplit("/", 2)[0] for name in images if name.startswith("layer/")}
    assert drawn == {"layer/layer1", "layer/layer1.0.conv-2", "layer/head/F.relu"}  # three of four, evenly spaced
    whole = f.W[index][f.block_names.index("layer1")].T.reshape(8, 3, 4, 4)
    for name, image in images.items():
        if name.startswith("layer/layer1/"):
            component, channel = map(int, name.split("/")[2:])
            np.testing.assert_array_equal(image.get_array(), whole[component, channel].numpy())
    strongest = whole.square().sum(dim=(2, 3)).argsort(dim=1, descending=True)
    components = [int(name.split("/")[1]) for name in images if name.startswith("latent/")]
    assert len(components) == 6
    for component in components:
        channels = [int(n.split("/")[3]) for n in images if n.startswith(f"layer/layer1/{component}/")]
        assert channels == strongest[component].tolist()
    seven = images[f"layer/head/F.relu/{components[0]}/0"].get_array()  # seven neurons in a grid of three by three
    np.testing.assert_array_equal(seven.flatten()[:7], f.W[index][-1][:, components[0]].numpy())
    assert np.ma.getmaskarray(seven).flatten()[7:].all()


def test_without_shapes_there_is_no_figure(observe):
    o = observe()
    assert layer_factors_figure([replace(o, factorization=None)]) is None
    without = replace(o.factorization, shapes=(), kept_features=())
    assert layer_factors_figure([replace(o, factorization=without)]) is None
    with pytest.raises(ValueError, match="history"):
        layer_factors_figure([])


def test_without_images_components_are_in_their_own_order(observe):
    images = by_id(layer_factors_figure([replace(observe(), inputs=None)]).axes[0].images)
    assert {int(name.split("/")[-2]) for name in images} == set(range(6))


def test_it_draws_into_given_axes(observe):
    o, figure = observe(), Figure(figsize=(12, 6))
    left, right = figure.subplots(1, 2)
    assert layer_factors_figure([o], ax=right) is figure
    own = by_id(layer_factors_figure([o]).axes[0].images)
    given = by_id(right.images)
    assert set(given) == set(own)
    for name, image in given.items():
        np.testing.assert_array_equal(image.get_array(), own[name].get_array())
    assert not left.images
    assert right.get_title(loc="left").startswith("Hidden layers, rank 8, epoch 3, step 307\n")
    to_array(figure)
