"""TensorBoard with a finished demo run in a headless browser."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = ("1_history", "2_rank_curve", "3_latent_images", "4_layer_factors", "5_similarity", "6_alpha", "7_spectra")

pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")


def load():
    """The script that also takes the screenshots of the documentation."""
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs/screenshots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


screenshots = load()
if screenshots.chromium() is None:
    pytest.skip(f"no Chromium on the path (looked for {', '.join(screenshots.CHROMIUM)})", allow_module_level=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, str(ROOT / "examples/digits.py"), "--epochs", "2", "--log-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    with screenshots.tensorboard(folder / "digits") as url, screenshots.browser() as page:
        page.url_of_tensorboard = url
        yield page


def test_every_chart_of_the_layout_is_drawn(page):
    screenshots.show(page, page.url_of_tensorboard, "custom_scalars")
    lengths = screenshots.charts(page)
    assert len(lengths) == 11  # ten of lines, and one with the margin above the error of the SVD
    assert all(lines and min(lines) > screenshots.DRAWN for lines in lengths)


def test_every_figure_is_loaded(page):
    screenshots.show(page, page.url_of_tensorboard, "images")
    found = screenshots.images(page)
    assert len(found) == len(FIGURES)
    assert all(width == 700 and height > 300 for width, height in found)
    for name in FIGURES:
        assert page.get_by_text(f"factorlens_figures/{name}").count() > 0


def test_the_projector_holds_the_probe(page):
    screenshots.show(page, page.url_of_tensorboard, "projector")
    assert screenshots.points(screenshots.projector(page)) == 128


def test_the_help_page_the_summary_and_the_table_of_runs_are_shown(page):
    screenshots.show(page, page.url_of_tensorboard, "text")
    page.wait_for_selector("text=How to read this")
    page.wait_for_selector("text=Summary of the run")
    screenshots.show(page, page.url_of_tensorboard, "hparams")
    page.wait_for_selector("text=factorlens/consistency")
    page.wait_for_selector("text=wrong_labels")
