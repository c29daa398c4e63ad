"""TensorBoard on a finished demo run, as a headless browser sees it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = ("1_course", "2_rank_curve", "3_latent_images", "4_hidden_layers", "5_similarity", "6_alpha", "7_spectra")

pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")


def load():
    """The driver that also takes the README's screenshots."""
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs/screenshots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shots = load()
if shots.chromium() is None:
    pytest.skip(f"no Chromium on the path (looked for {', '.join(shots.CHROMIUM)})", allow_module_level=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, str(ROOT / "examples/digits.py"), "--epochs", "2", "--log-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    with shots.tensorboard(folder / "digits") as url, shots.browser() as page:
        page.url_of_tensorboard = url
        yield page


def test_every_chart_of_the_layout_is_drawn(page):
    shots.show(page, page.url_of_tensorboard, "custom_scalars")
    lengths = shots.charts(page)
    assert len(lengths) == 11  # ten of lines, and the margin above the SVD's floor
    assert all(lines and min(lines) > shots.DRAWN for lines in lengths)


def test_every_picture_is_loaded(page):
    shots.show(page, page.url_of_tensorboard, "images")
    found = shots.images(page)
    assert len(found) == len(PICTURES)
    assert all(width == 700 and height > 300 for width, height in found)
    for name in PICTURES:
        assert page.get_by_text(f"factorlens_figures/{name}").count() > 0


def test_the_projector_holds_the_probe(page):
    shots.show(page, page.url_of_tensorboard, "projector")
    assert shots.points(shots.projector(page)) == 256


def test_the_table_and_the_card_are_there(page):
    shots.show(page, page.url_of_tensorboard, "text")
    page.wait_for_selector("text=How to read this")
    page.wait_for_selector("text=What this run came to")
    shots.show(page, page.url_of_tensorboard, "hparams")
    page.wait_for_selector("text=factorlens/consistency")
    page.wait_for_selector("text=wrong_labels")
