"""What is drawn is what was found."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightning_factorlens.plots.history import history_figure
from lightning_factorlens.plots.latent_images import latent_figure
from lightning_factorlens.plots.layer_factors import layer_factors_figure
from lightning_factorlens.plots.rank_curve import rank_curve_figure
from lightning_factorlens.plots.similarity import similarity_figure
from lightning_factorlens.plots.spectra import spectra_figure
from lightning_factorlens.plots.style import subsample, to_array


def by_id(artists):
    return {artist.get_gid(): artist for artist in artists if artist.get_gid()}


def test_rank_curve_is_the_record(observe):
    history = [observe(epoch) for epoch in (0, 1, 5)]
    (ax,) = rank_curve_figure(history).axes
    lines, now = by_id(ax.lines), history[-1]
    drawn = {"current": now.curves["total"], "floor": now.floors["total"]}
    drawn |= {f"past/{o.epoch}": o.curves["total"] for o in history[:-1]}
    for name, curve in drawn.items():
        assert tuple(lines[name].get_xdata()) == curve.ranks
        assert tuple(lines[name].get_ydata()) == curve.rel_error
    assert lines["past/0"].get_alpha() < lines["past/1"].get_alpha() < 1
    assert (list(lines["required"].get_xdata()), list(lines["required"].get_ydata())) == ([9.25], [0.3])
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4", "8", "16", "32"]
    words = {text.get_gid(): text.get_text() for text in ax.texts}
    assert words == {"required/0.3": "30 % at rank 9.2", "required/0.125": "12.5 % not reached by rank 32"}


def test_rank_curve_of_a_baseline_without_floor(observe):
    (ax,) = rank_curve_figure([observe(0, floors={})]).axes
    assert not {"floor", "past/0"} & set(by_id(ax.lines))


def test_rank_curve_of_a_long_run_stays_readable(observe):
    (ax,) = rank_curve_figure([observe(epoch) for epoch in range(40)]).axes
    past = [name for name in by_id(ax.lines) if name.startswith("past/")]
    assert (len(past), past[0], past[-1]) == (12, "past/0", "past/38")


def test_rank_curve_needs_an_observation():
    with pytest.raises(ValueError, match="history"):
        rank_curve_figure([])


def test_spectra_are_the_record(observe):
    o = observe()
    for ax, spectrum in zip(spectra_figure(o).axes, o.spectra, strict=True):
        lines, fit = by_id(ax.lines), spectrum.fit
        drawn = np.concatenate([lines["bulk"].get_xdata(), lines["tail"].get_xdata()])
        positive = spectrum.eigenvalues[spectrum.eigenvalues > 0].numpy()
        np.testing.assert_array_equal(drawn, positive)
        share = np.concatenate([lines["bulk"].get_ydata(), lines["tail"].get_ydata()])
        np.testing.assert_allclose(share, [(positive >= x).mean() for x in positive])
        assert len(lines["tail"].get_xdata()) == fit.n_tail
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        title = ax.get_title(loc="left")
        if math.isnan(fit.alpha):
            assert "no α" in title
            assert ax.texts[0].get_text().replace("\n", " ") == fit.reason
            assert "fit" not in lines
            continue
        (x0, x1), (y0, y1) = lines["fit"].get_data()
        assert x0 == fit.x_min == lines["x_min"].get_xdata()[0]
        assert y0 == pytest.approx(fit.n_tail / len(positive))
        assert math.log(y1 / y0) / math.log(x1 / x0) == pytest.approx(1 - fit.alpha)
        assert f"α {fit.alpha:.2f} ± {fit.sigma:.2f}, tail {fit.n_tail} of {fit.n}" in title


def test_spectra_at_most_six(observe, law):
    figure = spectra_figure(observe(spectra=tuple(law(f"features.{k}", 3.0) for k in range(30))))
    names = [ax.get_title(loc="left").split("\n")[0] for ax in figure.axes]
    assert (len(names), names[0], names[-1]) == (6, "features.0", "features.29")


def test_spectra_of_nothing(observe, law):
    assert spectra_figure(observe(spectra=())) is None
    dead = law("dead$_layer", 2.0)
    fit = replace(dead.fit, alpha=math.nan, x_min=math.nan, n_tail=0, reason="all eigenvalues are $0$")
    empty = replace(dead, eigenvalues=dead.eigenvalues[:0], fit=fit)
    to_array(spectra_figure(observe(spectra=(empty, replace(dead, fit=replace(dead.fit, reason="weak_$"))))))


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_latent_images_are_the_factors(observe, channels):
    o = observe(channels=channels)
    (ax,) = latent_figure(o).axes
    images, at = by_id(ax.images), o.factorization.ranks.index(8)
    factors = [name for name in images if name.startswith("factor/")]
    assert len(factors) == 8 * min(channels, 4)
    for name in factors:
        _, component, channel = name.split("/")
        expected = o.factorization.W[at][int(channel)][:, int(component)].reshape(12, 12)
        np.testing.assert_array_equal(images[name].get_array(), expected.numpy())


def test_beside_each_factor_the_images_that_use_it_most(observe):
    o = observe()
    F = o.factorization.F[o.factorization.ranks.index(8)]
    images = by_id(latent_figure(o).axes[0].images)
    chosen = {k: {} for k in range(8)}
    for name, image in images.items():
        kind, component, *place = name.split("/")
        if kind == "probe":
            chosen[int(component)][int(place[0])] = int(place[1])
            picture = o.images[int(place[1]), 0]
            stretched = (picture - picture.min()) / (picture.max() - picture.min())
            for colour in range(3):  # one channel: grey
                np.testing.assert_allclose(image.get_array()[..., colour], stretched.numpy(), atol=1e-6)
    for k, places in chosen.items():
        assert [places[p] for p in range(4)] == F[k].topk(4).indices.tolist()


def test_signed_factors_have_zero_in_the_middle_of_the_scale(observe):
    o = observe()
    W = tuple((blocks[0] - 0.3, *blocks[1:]) for blocks in o.factorization.W)
    o = replace(o, factorization=replace(o.factorization, W=W))
    image = next(im for name, im in by_id(latent_figure(o).axes[0].images).items() if name.startswith("factor"))
    low, high = image.get_clim()
    assert low == -high < 0


def test_latent_images_are_left_out_where_they_do_not_fit(observe):
    o = observe()
    assert latent_figure(replace(o, images=None)) is None
    assert latent_figure(replace(o, factorization=None)) is None
    assert latent_figure(replace(o, images=o.images[:, :, :5])) is None
    assert latent_figure(replace(o, images=o.images[:3])) is None
    assert latent_figure(replace(o, images=torch.zeros(24, 144))) is None
    names = tuple(name.replace("input/", "layer/") for name in o.factorization.block_names)
    assert latent_figure(replace(o, factorization=replace(o.factorization, block_names=names))) is None
    assert latent_figure(replace(o, factorization=replace(o.factorization, shapes=(), index=()))) is None


def test_a_budget_of_pixels_leaves_a_coarser_latent_image(observe):
    o = observe()
    kept = torch.arange(0, 144, 2)  # every other column of 12 × 12: cells of 2 × 2 hold two pixels each
    W = tuple((blocks[0][kept], *blocks[1:]) for blocks in o.factorization.W)
    index = (kept, *o.factorization.index[1:])
    images = by_id(latent_figure(replace(o, factorization=replace(o.factorization, W=W, index=index))).axes[0].images)
    for component in range(8):
        whole = o.factorization.W[3][0][:, component].reshape(12, 12)[:, ::2]
        expected = whole.reshape(6, 2, 6).mean(dim=1)
        np.testing.assert_allclose(images[f"factor/{component}/0"].get_array(), expected.numpy(), rtol=1e-5)


def test_figures_ignore_a_dark_style_sheet(observe):
    import matplotlib.style

    o = observe()
    draws = [lambda: rank_curve_figure([o]), lambda: history_figure([observe(0), o])]
    draws += [
        lambda draw=draw: draw(o) for draw in (spectra_figure, latent_figure, layer_factors_figure, similarity_figure)
    ]
    plain = [to_array(draw()) for draw in draws]
    with matplotlib.style.context("dark_background"):
        dark = [to_array(draw()) for draw in draws]
    for a, b in zip(plain, dark):
        np.testing.assert_array_equal(a, b)


def test_figures_touch_no_global_state_and_no_pyplot():
    code = (
        "import sys, lightning_factorlens.loggers.lightning_loggers\n"
        "assert 'matplotlib' not in sys.modules and 'lightning' not in sys.modules\n"
        "import matplotlib; before = matplotlib.rcParams.copy()\n"
        "from lightning_factorlens.loggers import alpha_figure, course_figure, hidden_figure, latent_figure, rank_figure\n"
        "from lightning_factorlens.loggers import similarity_figure, spectra_figure\n"
        "assert 'matplotlib.pyplot' not in sys.modules and before == matplotlib.rcParams.copy()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_evenly():
    assert subsample(range(5), 12) == [0, 1, 2, 3, 4]
    assert subsample(range(100), 3) == [0, 50, 99]


def test_spectra_show_the_bulk_edge(observe, law):
    from lightning_factorlens.plots.spectra import spectrum_figure

    with_edge = replace(law("a", 3.0), mp_edge=1.5, spikes=3, stable_rank=2.5, traps=1)
    with_edge = replace(with_edge, fit=replace(with_edge.fit, p_value=0.42))
    figures = spectra_figure(observe(spectra=(with_edge, law("b", 3.0)))), spectrum_figure(with_edge)
    edges = [by_id(ax.lines).get("mp_edge") for ax in (*figures[0].axes, *figures[1].axes)]
    assert [edge and edge.get_xdata()[0] for edge in edges] == [1.5, None, 1.5]
    (words,) = (text.get_text() for text in figures[1].texts)
    assert "p 0.42" in words
    assert "spikes 3" in words
    assert "traps 1" in words
    assert "lognormal" not in words
    to_array(figures[1])
    to_array(spectrum_figure(replace(law("dead", 2.0), eigenvalues=torch.empty(0))))


def test_alpha_over_depth_and_epochs(observe, law):
    from lightning_factorlens.plots.alpha import alpha_figure

    def at(epoch):
        few = law("few", 9.0, n=12, n_tail=8)
        dead = law("dead", 2.0)
        dead = replace(dead, fit=replace(dead.fit, alpha=math.nan, n=0))
        return observe(epoch, spectra=(law("a", 3.0 + epoch), dead, few, law("b$_1", 2.0)))

    history = [at(epoch) for epoch in (0, 1, 4)]
    depth, epochs = alpha_figure(history).axes
    lines = by_id(depth.lines)
    np.testing.assert_array_equal(lines["current"].get_ydata(), [7.0, math.nan, 9.0, 2.0])
    np.testing.assert_array_equal(lines["past/1"].get_ydata(), [4.0, math.nan, 9.0, 2.0])
    np.testing.assert_array_equal(lines["weak"].get_ydata(), [math.nan, math.nan, 9.0, math.nan])
    assert [tick.get_text() for tick in depth.get_xticklabels()] == ["a", "dead", "few", "b$_1"]
    lines = by_id(epochs.lines)
    assert (list(lines["layer/a"].get_xdata()), list(lines["layer/a"].get_ydata())) == ([0, 1, 4], [3.0, 4.0, 7.0])
    assert np.isnan(lines["layer/few"].get_ydata()).all()
    assert list(lines["mean"].get_ydata()) == [o.alpha.mean_alpha for o in history]
    to_array(alpha_figure(history[:1]))


def test_alpha_of_nothing(observe):
    from lightning_factorlens.plots.alpha import alpha_figure

    assert alpha_figure([observe(spectra=())]) is None
    with pytest.raises(ValueError, match="history"):
        alpha_figure([])


def test_hidden_panels_are_the_factors(observe):
    o = observe()
    f, at = o.factorization, o.factorization.ranks.index(8)
    images = by_id(layer_factors_figure(o).axes[0].images)
    drawn = {name.rsplit("/", 2)[0] for name in images if name.startswith("hidden/")}
    assert drawn == {"hidden/layer1", "hidden/layer1.0.conv-2", "hidden/head/F.relu"}  # evenly spaced three of four
    whole = f.W[at][f.block_names.index("layer1")].T.reshape(8, 3, 4, 4)
    for name, image in images.items():
        if name.startswith("hidden/layer1/"):
            component, channel = map(int, name.split("/")[2:])
            np.testing.assert_array_equal(image.get_array(), whole[component, channel].numpy())
    strongest = whole.square().sum(dim=(2, 3)).argsort(dim=1, descending=True)
    components = [int(name.split("/")[1]) for name in images if name.startswith("latent/")]
    assert len(components) == 6
    for component in components:
        channels = [int(n.split("/")[3]) for n in images if n.startswith(f"hidden/layer1/{component}/")]
        assert channels == strongest[component].tolist()
    seven = images[f"hidden/head/F.relu/{components[0]}/0"].get_array()  # seven neurons on three by three places
    np.testing.assert_array_equal(seven.flatten()[:7], f.W[at][-1][:, components[0]].numpy())
    assert np.ma.getmaskarray(seven).flatten()[7:].all()


def test_hidden_panels_need_a_layer(observe):
    o = observe()
    assert layer_factors_figure(replace(o, factorization=None)) is None
    assert layer_factors_figure(replace(o, factorization=replace(o.factorization, shapes=(), index=()))) is None
    images = by_id(
        layer_factors_figure(replace(o, images=None)).axes[0].images
    )  # without images: components in their order
    assert {int(name.split("/")[-2]) for name in images} == set(range(6))


def test_heat_maps_are_the_cosines(observe):
    o = observe()
    maps, spectra, depth = similarity_figure(o).axes
    images, lines = by_id(maps.images), by_id(spectra.lines)
    assert len(images) == len(o.similarity) == 4
    for s in o.similarity:
        image = images[f"cosine/{s.layer}"]
        np.testing.assert_array_equal(image.get_array(), s.cosine.numpy())
        assert image.get_clim() == (0, 1)
        np.testing.assert_array_equal(lines[f"eigenvalues/{s.layer}"].get_ydata(), s.eigenvalues.numpy())
    lines = by_id(depth.lines)
    assert list(lines["off_diagonal"].get_ydata()) == [s.off_diagonal for s in o.similarity]
    assert list(lines["first_k"].get_ydata()) == [s.first_k for s in o.similarity]


def test_negative_cosines_have_zero_in_the_middle_of_every_scale(observe):
    o = observe()
    first = replace(o.similarity[0], cosine=-o.similarity[0].cosine)
    maps = similarity_figure(replace(o, similarity=(first, *o.similarity[1:]))).axes[0]
    assert {image.get_clim() for image in maps.images} == {(-1, 1)}


def test_similarity_of_nothing(observe):
    o = observe()
    assert similarity_figure(replace(o, similarity=())) is None
    one = replace(o.similarity[0], rank=1, cosine=torch.ones(1, 1), eigenvalues=torch.ones(1))
    assert similarity_figure(replace(o, similarity=(one,))) is None


def test_course_is_the_record(observe):
    values = (2.0, 0.75, None, 1.25)
    history = [observe(epoch, consistency=value) for epoch, value in zip((0, 1, 2, 5), values)]
    consistency, ranks = history_figure(history).axes
    lines = by_id(consistency.lines)
    np.testing.assert_array_equal(lines["consistency"].get_ydata(), [2.0, 0.75, math.nan, 1.25])
    assert list(lines["consistency"].get_xdata()) == [0, 1, 2, 5]
    assert (list(lines["lowest"].get_xdata()), list(lines["lowest"].get_ydata())) == ([1], [0.75])
    assert consistency.get_title(loc="left") == "Consistency: lowest at epoch 1, 0.75, now 1.25"
    lines = by_id(ranks.lines)
    assert list(lines["effective_rank"].get_ydata()) == [o.effective_rank["total"] for o in history]
    assert list(lines["rank_at/0.3"].get_ydata()) == [9.25] * 4
    assert {text.get_text().strip() for text in ranks.texts} == {"effective rank", "rank@30%", "over rank@12.5%"}
    assert max(ranks.get_xticks()) <= 5


def test_course_without_consistency_or_without_a_past(observe):
    (ranks,) = history_figure([observe(k, consistency=None) for k in (0, 1)]).axes
    assert "effective_rank" in by_id(ranks.lines)
    assert history_figure([observe()]) is None
    with pytest.raises(ValueError, match="history"):
        history_figure([])


def test_every_picture_is_twice_as_wide_as_tensorboard_shows_it_and_brings_its_own_white(observe):
    from lightning_factorlens.loggers.figure_schedule import render_figures

    drawn = render_figures(observe(1), [observe(0), observe(1)])
    assert list(drawn) == sorted(drawn)
    assert len(drawn) == 7
    for name, pixels in drawn.items():
        assert (pixels.dtype, pixels.shape[1:]) == (np.uint8, (700, 3)), name
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edge == 255).mean() > 0.95, name  # nothing is cut off
