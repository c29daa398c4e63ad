"""TensorBoard in a headless browser with the log of a run of known numbers."""

import io

import numpy as np
import pytest
from browser import FIGURES, load_screenshots
from observations import MEASUREMENTS, make_observation
from PIL import Image
from plain_logger import PlainLogger

from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.logger_sink import LoggerSink

screenshots = load_screenshots()


#: Width and height of the window.
SMALL, LARGE = (1280, 800), (1920, 1080)
#: Windows and themes; the large window is for the slow run.
VIEWS = [
    (SMALL, False),
    (SMALL, True),
    pytest.param(LARGE, False, marks=pytest.mark.slow),
    pytest.param(LARGE, True, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page of TensorBoard that shows a run of known numbers, with what Lightning logs beside it."""
    folder = tmp_path_factory.mktemp("written")
    logger = PlainLogger(folder / "run")
    sink = LoggerSink([logger], MEASUREMENTS, options=TensorBoardOptions(figures_every_n=100))
    for epoch, value in enumerate([2.3, 1.8, 1.5, 1.2, 1.1, 1.0, 0.9, *[1.1 + 0.02 * k for k in range(14)]]):
        sink.write(make_observation(epoch, consistency=value))
        logger.log_metrics({"epoch": epoch, "Train/loss": value}, 100 * epoch + 7)
    sink.close()
    logger.experiment.close()
    with screenshots.tensorboard(folder) as url, screenshots.browser() as page:
        page.url_of_tensorboard = url
        yield page


def shown(page, box):
    """The pixels of a part of the window, from 0 to 1."""
    pixels = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
    return np.asarray(pixels, dtype=float) / 255


@pytest.mark.parametrize(("window", "dark"), VIEWS)
def test_the_first_page_answers_above_the_fold(written, window, dark):
    width, height = window
    written.set_viewport_size({"width": width, "height": height})
    screenshots.show(written, written.url_of_tensorboard, "timeseries", dark)
    (box,) = screenshots.dashboard(written)
    assert box["y"] + box["height"] <= height
    assert box["width"] >= 320
    assert box["width"] / box["height"] == pytest.approx(326.5 / 215, rel=0.02)  # it fills its card
    groups = written.locator("metrics-card-groups .group-toolbar").all_inner_texts()
    assert groups[0].startswith("Dashboard")


@pytest.mark.parametrize(("window", "dark"), VIEWS)
def test_figures_are_white_on_a_white_page_and_no_white_slab_on_a_dark_one(written, window, dark):
    width, height = window
    written.set_viewport_size({"width": width, "height": height})
    screenshots.show(written, written.url_of_tensorboard, "timeseries", dark)
    (box,) = screenshots.dashboard(written)
    pixels = shown(written, box)
    background = np.median(pixels.reshape(-1, 3), axis=0)
    if dark:
        assert background.max() < 0.75
    else:
        assert background.min() > 0.99
    assert background.min() - pixels.min() > 0.5  # its text


@pytest.mark.parametrize(("window", "dark"), VIEWS)
def test_the_page_of_images_shows_every_figure_with_the_dashboard_first(written, window, dark):
    written.set_viewport_size({"width": window[0], "height": 3900})
    screenshots.show(written, written.url_of_tensorboard, "images", dark)
    found = screenshots.images(written)
    assert len(found) == len(FIGURES) + 1
    assert {width for width, _ in found} == {700}
    tags = ["Dashboard/factorlens", *(f"factorlens_figures/{name}" for name in FIGURES)]
    heights = [written.get_by_text(tag).first.bounding_box()["y"] for tag in tags]
    assert heights == sorted(heights)
    assert heights[0] < 250
