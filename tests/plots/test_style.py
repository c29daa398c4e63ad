"""What all figures have in common: the background, size, no global state, and matplotlib only when drawing."""

import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import matplotlib.style
import numpy as np
from history_figures import HISTORY_FIGURES
from PIL import Image

from lightning_factorlens import plots
from lightning_factorlens.loggers.figure_schedule import numbered_figures, render_figures
from lightning_factorlens.measurements import default_measurements
from lightning_factorlens.plots.style import CARD, new_figure, soften, subsample, to_array, to_png


def test_figures_ignore_a_dark_style_sheet(observe):
    history = [observe(0), observe(1)]
    plain = {name: to_array(draw(history)) for name, draw in HISTORY_FIGURES.items()}
    plain["observation"] = to_array(plots.observation_figure(history[-1]))
    with matplotlib.style.context("dark_background"):
        dark = {name: to_array(draw(history)) for name, draw in HISTORY_FIGURES.items()}
        dark["observation"] = to_array(plots.observation_figure(history[-1]))
    for name, pixels in plain.items():
        np.testing.assert_array_equal(pixels, dark[name], err_msg=name)


def test_all_declared_figures_are_the_ones_of_this_package():
    declared = {figure.draw for figure in numbered_figures(default_measurements()).values()}
    assert declared == set(HISTORY_FIGURES.values())


def test_an_observation_without_any_record_has_no_figure(observe):
    bare = replace(observe(1), records={}, inputs=None, factorization=None)
    for name, draw in HISTORY_FIGURES.items():
        assert draw([replace(bare, epoch=0), bare]) is None, name


def test_histories_may_begin_with_observations_without_any_record(observe):
    bare = replace(observe(0), records={}, inputs=None, factorization=None)
    for draw in HISTORY_FIGURES.values():
        to_array(draw([bare, observe(1)]))


def test_figures_do_not_change_the_history(observe):
    history = [observe(0).without_tensors(), observe(1)]
    before = [repr(o) for o in history], history[1].factorization.W[3][0].clone(), history[1].inputs.clone()
    for draw in HISTORY_FIGURES.values():
        draw(history)
    assert [repr(o) for o in history] == before[0]
    assert history[1].factorization.W[3][0].equal(before[1])
    assert history[1].inputs.equal(before[2])


def test_every_figure_is_twice_as_wide_as_tensorboard_shows_it_and_has_an_empty_edge(observe):
    drawn = render_figures(numbered_figures(default_measurements()), [observe(0), observe(1)])
    assert next(iter(drawn)) == "dashboard"
    assert list(drawn)[1:] == sorted(drawn)[:-1]
    assert len(drawn) == 8
    for name, pixels in drawn.items():
        assert (pixels.dtype, pixels.shape[1:]) == (np.uint8, (700, 4)), name
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        card = [255, 255, 255, round(255 * CARD[3])]
        assert (np.abs(edge - np.array(card, dtype=float)) <= 1).mean() > 0.95, name  # nothing is cut off


def test_importing_does_not_import_matplotlib_and_drawing_leaves_no_global_state():
    code = (
        "import sys, pathlib, importlib\n"
        "import lightning_factorlens.plots as plots, lightning_factorlens.loggers.logger_sink\n"
        "import lightning_factorlens.lens, lightning_factorlens.loggers.comet\n"
        "for file in pathlib.Path(plots.__file__).parent.glob('[a-z]*.py'):\n"
        "    importlib.import_module(f'lightning_factorlens.plots.{file.stem}')\n"
        "assert 'matplotlib' not in sys.modules and 'lightning' not in sys.modules\n"
        "import matplotlib; before = matplotlib.rcParams.copy()\n"
        "from observations import make_observation\n"
        "from history_figures import HISTORY_FIGURES\n"
        "for draw in HISTORY_FIGURES.values():\n"
        "    draw([make_observation(0), make_observation(1)])\n"
        "plots.observation_figure(make_observation())\n"
        "plots.spectrum_figure(make_observation()['weight_spectra'].layers[0])\n"
        "assert 'matplotlib.pyplot' not in sys.modules and before == matplotlib.rcParams.copy()"
    )
    search_path = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=search_path)


def test_subsample_keeps_the_ends():
    assert subsample(range(5), 12) == [0, 1, 2, 3, 4]
    assert subsample(range(100), 3) == [0, 50, 99]


def test_a_png_file_has_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    file = to_png(pixels)
    assert isinstance(file, BytesIO)
    np.testing.assert_array_equal(np.asarray(Image.open(file).convert("RGB")), pixels)


def test_every_second_pixel_of_a_softened_image_is_the_mean_of_four():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    whole = pixels.astype(float)
    means = (whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2]) / 4
    np.testing.assert_allclose(soften(pixels)[::2, ::2], means, atol=0.51)


def test_the_colour_of_a_pixel_without_opacity_does_not_show_when_softened():
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)
    assert soften(pixels)[0, 0].tolist() == [200, 100, 50, 64]


def test_every_new_figure_is_shown_by_a_notebook():
    assert new_figure(1.0)._repr_png_().startswith(b"\x89PNG")
