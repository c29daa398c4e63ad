"""Latent images are columns of the factors, and the images beside them are those of the probe."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from artists import by_id
from matplotlib.figure import Figure

from lightning_factorlens.plots.latent_images import latent_images_figure
from lightning_factorlens.plots.style import to_array


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_latent_images_are_the_factors(observe, channels):
    o = observe(channels=channels)
    ax, bar = latent_images_figure([o]).axes
    assert bar.get_label() == "<colorbar>"
    images, index = by_id(ax.images), o.factorization.ranks.index(8)
    factors = [name for name in images if name.startswith("factor/")]
    assert len(factors) == 8 * min(channels, 4)
    for name in factors:
        _, component, channel = name.split("/")
        expected = o.factorization.W[index][int(channel)][:, int(component)].reshape(12, 12)
        np.testing.assert_array_equal(images[name].get_array(), expected.numpy())


def test_beside_each_factor_are_the_images_that_load_most_on_it(observe):
    o = observe()
    F = o.factorization.F[o.factorization.ranks.index(8)]
    W = o.factorization.W[o.factorization.ranks.index(8)][0]
    strength = (W.norm(dim=0) * F.norm(dim=1)).argsort(descending=True).tolist()
    captions = [text.get_text() for text in latent_images_figure([o]).axes[0].texts]
    assert captions == [f"{number}. component {component}" for number, component in enumerate(strength, start=1)]
    images = by_id(latent_images_figure([o]).axes[0].images)
    chosen = {k: {} for k in range(8)}
    for name, image in images.items():
        kind, component, *place = name.split("/")
        if kind == "probe":
            chosen[int(component)][int(place[0])] = int(place[1])
            pixels = o.inputs[int(place[1]), 0]
            stretched = (pixels - pixels.min()) / (pixels.max() - pixels.min())
            for color in range(3):  # one channel: grey
                np.testing.assert_allclose(image.get_array()[..., color], stretched.numpy(), atol=1e-6)
    for k, places in chosen.items():
        assert [places[p] for p in range(4)] == F[k].topk(4).indices.tolist()


def test_signed_factors_have_zero_in_the_middle_of_the_scale(observe):
    o = observe()
    W = tuple((blocks[0] - 0.3, *blocks[1:]) for blocks in o.factorization.W)
    o = replace(o, factorization=replace(o.factorization, W=W))
    images = by_id(latent_images_figure([o]).axes[0].images)
    image = next(image for name, image in images.items() if name.startswith("factor"))
    low, high = image.get_clim()
    assert low == -high < 0


def test_without_matching_images_and_factors_there_is_no_figure(observe):
    o = observe()
    f = o.factorization
    names = tuple(name.replace("input/", "layer/") for name in f.block_names)
    others = [
        replace(o, inputs=None),
        replace(o, factorization=None),
        replace(o, inputs=o.inputs[:, :, :5]),
        replace(o, inputs=o.inputs[:3]),
        replace(o, inputs=torch.zeros(24, 144)),
        replace(o, factorization=replace(f, block_names=names)),
        replace(o, factorization=replace(f, shapes=(), kept_features=())),
    ]
    for other in others:
        assert latent_images_figure([other]) is None
    with pytest.raises(ValueError, match="history"):
        latent_images_figure([])


def test_a_budget_of_pixels_leaves_a_coarser_latent_image(observe):
    o = observe()
    kept = torch.arange(0, 144, 2)  # every second column of 12 × 12: cells of 2 × 2 hold two pixels each
    W = tuple((blocks[0][kept], *blocks[1:]) for blocks in o.factorization.W)
    kept_features = (kept, *o.factorization.kept_features[1:])
    coarse = replace(o, factorization=replace(o.factorization, W=W, kept_features=kept_features))
    images = by_id(latent_images_figure([coarse]).axes[0].images)
    for component in range(8):
        whole = o.factorization.W[3][0][:, component].reshape(12, 12)[:, ::2]
        expected = whole.reshape(6, 2, 6).mean(dim=1)
        np.testing.assert_allclose(images[f"factor/{component}/0"].get_array(), expected.numpy(), rtol=1e-5)


def test_it_draws_into_given_axes(observe):
    o, figure = observe(), Figure(figsize=(12, 6))
    left, right = figure.subplots(1, 2)
    assert latent_images_figure([o], ax=right) is figure
    own = by_id(latent_images_figure([o]).axes[0].images)
    given = by_id(right.images)
    assert set(given) == set(own)
    for name, image in given.items():
        np.testing.assert_array_equal(image.get_array(), own[name].get_array())
    assert not left.images
    assert right.get_title(loc="left").startswith(
        "Latent images, rank 8, epoch 3, step 307\nall 8 components, strongest first: input"
    )
    to_array(figure)


def test_a_block_of_many_channels_is_drawn_as_the_mean_over_them(observe):
    o = observe(channels=1)
    wide = torch.rand(3 * 144, 8)
    index = o.factorization.ranks.index(8)
    W = [list(factors) for factors in o.factorization.W]
    W[index][0] = wide
    shapes = ((3, 12, 12), *o.factorization.shapes[1:])
    factorization = replace(o.factorization, W=tuple(map(tuple, W)), shapes=shapes)
    images = by_id(latent_images_figure([replace(o, factorization=factorization)]).axes[0].images)
    found = images["factor/0/0"].get_array()
    np.testing.assert_allclose(found, wide[:, 0].view(3, 12, 12).mean(0).numpy(), rtol=1e-5)
