"""TensorBoard in a headless browser with the log of a training."""

import pytest
from browser import FIGURES, load_screenshots
from training import Net, lens, train

from lightning_factorlens import LabelFreeStopping

screenshots = load_screenshots()


class Recorded(Net):
    """The network of the tests, with a hyperparameter for the table of runs."""

    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"wrong_labels": 0.4})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of TensorBoard that shows a training run of which every observation was full."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder / "run", lens(probe_size=64), LabelFreeStopping(), epochs=4, module=Recorded())
    with screenshots.tensorboard(folder) as url, screenshots.browser() as page:
        page.url_of_tensorboard = url
        yield page


def test_every_chart_of_the_layout_is_drawn(page):
    screenshots.show(page, page.url_of_tensorboard, "custom_scalars")
    lengths = screenshots.charts(page)
    assert len(lengths) == 13  # twelve of lines, and one with the margin above the error of the SVD
    assert all(lines and max(lines) > screenshots.DRAWN for lines in lengths)


def test_every_figure_is_loaded(page):
    screenshots.show(page, page.url_of_tensorboard, "images")
    found = screenshots.images(page)
    assert len(found) == len(FIGURES) + 1  # and the dashboard
    assert all(width == 700 and height > 300 for width, height in found)
    for name in FIGURES:
        assert page.get_by_text(f"factorlens_figures/{name}").count() > 0


def test_the_projector_holds_the_probe(page):
    screenshots.show(page, page.url_of_tensorboard, "projector")
    assert screenshots.points(screenshots.projector(page)) == 64


def test_the_help_page_the_summary_and_the_table_of_runs_are_shown(page):
    screenshots.show(page, page.url_of_tensorboard, "text")
    page.wait_for_selector("text=How to read this")
    page.wait_for_selector("text=Summary of the run")
    screenshots.show(page, page.url_of_tensorboard, "hparams")
    page.wait_for_selector("text=best consistency")
    page.wait_for_selector("text=wrong_labels")
