"""Takes the documentation's screenshots of TensorBoard showing a finished run, in the distribution's own Chromium.

python examples/digits.py --compare --log-dir runs
python docs/screenshots.py runs/digits docs/screenshots

Needs Chromium (package `chromium` or `chromium-browser`) and playwright, which drives it.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Frame, Page, sync_playwright

#: Commands under which distributions install Chromium.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
#: Longest time in milliseconds that anything on a page may take, on a busy machine.
TIMEOUT = 60_000
CHARTS = "tf-custom-scalar-multi-line-chart-card, tf-custom-scalar-margin-chart-card"
IMAGES = "tf-image-loader img"
#: Characters in the path of a line that has been drawn; an empty one is ``M0,0``.
DRAWN = 20
#: Figures on the first page of a group: TensorBoard shows twelve images, those of two runs.
PER_PAGE = 6
#: The figures of the default measurements; the first has a tag of its own, "Dashboard/factorlens".
FIGURES = (
    "dashboard",
    "1_history",
    "2_rank_curve",
    "3_latent_images",
    "4_layer_factors",
    "5_similarity",
    "6_alpha",
    "7_spectra",
)

T = TypeVar("T")


def chromium() -> str | None:
    """Path of the distribution's Chromium; None where there is none."""
    for command in CHROMIUM:
        path = shutil.which(command)
        if path:
            return path
    return None


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """Runs TensorBoard on a folder, at a port that it chooses, and yields its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        lines = []
        for line in server.stdout:
            lines.append(line)
            found = re.search(r"TensorBoard \S+ at (http://\S+)", line)
            if found:
                yield found.group(1).rstrip("/")
                return
        raise RuntimeError("TensorBoard did not start:\n" + "".join(lines))
    finally:
        server.terminate()
        server.wait()


@contextmanager
def browser(width: int = 1280, height: int = 800) -> Iterator[Page]:
    """Yields a page of a headless Chromium."""
    with sync_playwright() as play:
        # Chromium refuses its sandbox to root, which is the user in many containers. Only local pages are opened.
        chrome = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = chrome.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(TIMEOUT)
        yield page
        chrome.close()


def show(page: Page, url: str, plugin: str, dark: bool = False, tags: str = "") -> None:
    """Opens one of TensorBoard's pages; ``tags`` is a regular expression that filters its time series."""
    page.goto("about:blank")  # a change of the address after # alone would not reload the page
    page.goto(f"{url}/?{urlencode({'darkMode': str(dark).lower(), 'tagFilter': tags})}#{plugin}")


def until(page: Page, ready: Callable[[], T]) -> T:
    """Calls ``ready`` until it returns something, and returns that.

    Raises:
        TimeoutError: It has returned nothing for a minute.
    """
    end = time.monotonic() + TIMEOUT / 1000
    while not (found := ready()):
        if time.monotonic() > end:
            raise TimeoutError(f"{page.url} shows nothing after {TIMEOUT / 1000:.0f} s")
        page.wait_for_timeout(100)
    return found


def charts(page: Page) -> list[list[int]]:
    """Waits until all charts of the custom scalars are drawn, and returns the length of each line's path by chart."""

    def drawn() -> list[list[int]]:
        measure = "lines => lines.map(line => (line.getAttribute('d') || '').length)"
        found = [card.locator("path.line").evaluate_all(measure) for card in page.locator(CHARTS).all()]
        return found if all(lines and min(lines) > DRAWN for lines in found) else []

    return until(page, drawn)


def images(page: Page) -> list[tuple[int, int]]:
    """Waits until all images of the page are loaded, and returns their widths and heights."""

    def loaded() -> list[tuple[int, int]]:
        found = page.locator(IMAGES).evaluate_all("all => all.map(e => [e.naturalWidth, e.naturalHeight])")
        whole = len(found) == page.locator("tf-image-loader").count() and all(w > 0 for w, _ in found)
        return [(w, h) for w, h in found] if whole else []

    return until(page, loaded)


def figures(page: Page) -> list[tuple[int, int]]:
    """Waits as `images` does, and checks that the figures of the first page are there.

    Raises:
        RuntimeError: A figure is missing.
    """
    sizes = images(page)
    missing = [
        name for name in FIGURES[1 : PER_PAGE + 1] if page.get_by_text(f"factorlens_figures/{name}").count() == 0
    ]
    if missing:
        raise RuntimeError(
            f"the page shows no image called {', '.join(missing)}; does the run have other measurements?"
        )
    return sizes


def projector(page: Page) -> Frame:
    """Waits until the projector shows points, and returns its frame."""

    def shown() -> list[Frame]:
        found = [frame for frame in page.frames if "projector_binary" in frame.url]
        return [frame for frame in found if frame.locator(".numDataPoints").count() and points(frame) > 0]

    return until(page, shown)[0]


def points(frame: Frame) -> int:
    """Number of points that the projector shows; 0 while it is loading."""
    words = frame.locator(".numDataPoints").first.inner_text()
    return int(words) if words.isdigit() else 0


def dashboard(page: Page) -> list[dict[str, float]]:
    """Waits until the dashboards on the first page are drawn, and returns the boxes of their images in the window.

    Args:
        page: The page "Time Series".

    Returns:
        For each run ``x``, ``y``, ``width`` and ``height`` in pixels.
    """

    def drawn() -> list[dict[str, float]]:
        images = page.locator("image-card:has-text('Dashboard') img")
        widths = images.evaluate_all("all => all.map(image => image.naturalWidth)")
        if not widths or min(widths) == 0:
            return []
        boxes = [image.bounding_box() for image in images.all()]
        return [dict(box) for box in boxes if box is not None]

    return until(page, drawn)


#: The tags that the screenshot of the scalars shows.
SUMMARIES = (
    "^factorlens/(consistency|rank_at_30pct|effective_rank|rel_error/rank_8|rel_error/rank_32)$"
    "|^factorlens_spectra/mean_alpha$"
)
#: Colours of a file: all of them together stay below 3 MB, and each below 200 kB.
COLORS = 80
#: Widths of the window in pixels. Files of the first have the page's name alone.
WIDTHS = (1280, 1920)
#: File, page, function that waits until the page is ready, height in pixels, regular expression of the tags.
SHOTS: tuple[tuple[str, str, Callable[[Page], object], int, str], ...] = (
    ("first", "timeseries", dashboard, 800, ""),
    ("custom_scalars", "custom_scalars", charts, 1180, ""),
    ("images", "images", figures, 3780, ""),
    ("projector", "projector", projector, 800, ""),
    ("scalars", "timeseries", lambda page: page.wait_for_selector("scalar-card"), 1000, SUMMARIES),
    ("hparams", "hparams", lambda page: page.wait_for_selector("vaadin-grid"), 420, ""),
    ("text", "text", lambda page: page.wait_for_selector("tf-text-loader table"), 1000, ""),
)


def file_name(name: str, width: int, dark: bool) -> str:
    """File of a screenshot."""
    size = "" if width == WIDTHS[0] else f"_{width}"
    return f"{name}{size}{'_dark' if dark else ''}.png"


def save(page: Page, path: Path) -> None:
    """Saves the page as a PNG of few colours, which is an eighth of the size without a visible difference."""
    pixels = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    pixels.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path} {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Takes every page at both widths, in the light theme and in the dark one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logdir", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    if chromium() is None:
        sys.exit(f"no Chromium: none of {', '.join(CHROMIUM)} is on the path; install your distribution's package.")
    args.folder.mkdir(parents=True, exist_ok=True)
    with tensorboard(args.logdir) as url, browser() as page:
        for name, plugin, ready, height, tags in SHOTS:
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": height})
                for dark in (False, True):
                    show(page, url, plugin, dark, tags)
                    ready(page)
                    page.wait_for_timeout(2500)  # animations
                    save(page, args.folder / file_name(name, width, dark))


if __name__ == "__main__":
    main()
