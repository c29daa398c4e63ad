"""Reports in a real browser without a network: complete, alive, readable on a phone, usable with a keyboard."""

import importlib.util
from pathlib import Path

import pytest
import torch
from browser import load_screenshots
from torch import nn

from lightning_factorlens import FactorLens, JSONLinesSink
from lightning_factorlens.measurements import UnitPictures
from lightning_factorlens.report import read_runs, write_report
from lightning_factorlens.report.views import view_measurements

screenshots = load_screenshots()

#: Widths of the window: a desk and a phone.
DESK, PHONE = 1280, 390
OPEN_DETAILS = "document.querySelectorAll('details').forEach(each => each.open = true)"


def make_run(folder, seed):
    """A record of two epochs of a small network that learns to tell bright from dark halves of images."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 16, 4)
    )
    images = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images[:, :, :4] += torch.arange(200).remainder(2)[:, None, None, None]
    images[:, :, :, :4] += torch.arange(200).div(100, rounding_mode="floor")[:, None, None, None]
    labels = torch.arange(200).remainder(2) + 2 * torch.arange(200).div(100, rounding_mode="floor")
    measurements = [*view_measurements(rank=3), UnitPictures(layers=("0", "5"), count=1)]
    lens = FactorLens(model, outputs="classes", measurements=measurements, ranks=(1, 2, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    sink = JSONLinesSink(folder / f"run_{seed}.jsonl")
    for epoch in range(2):
        sink.write(lens.observe(images[:64], epoch, 10 * epoch))
        for _ in range(10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the records of two runs."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        make_run(folder, seed)
    return folder


@pytest.fixture(scope="module", params=["two runs", pytest.param("one run", marks=pytest.mark.slow)])
def report(request, runs):
    """The file of a report."""
    source = runs if request.param == "two runs" else runs / "run_0.jsonl"
    return write_report(read_runs(source), runs / "report.html")


@pytest.fixture(scope="module")
def browser():
    """A browser that is offline, and what pages have asked for and complained about."""
    with screenshots.browser() as page:
        page.context.set_offline(True)
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page


@pytest.fixture
def page(report, browser):
    """A page that has just been opened."""
    browser.emulate_media(color_scheme="light")
    browser.set_viewport_size({"width": DESK, "height": 800})
    browser.requests.clear()
    browser.complaints.clear()
    browser.file = report
    browser.goto(browser.file.as_uri())
    return browser


def axe():
    """The source of axe-core, which a package of the test extra ships."""
    found = importlib.util.find_spec("axe_playwright_python")
    source = None if found is None else Path(found.origin).with_name("axe.min.js")
    if source is None or not source.is_file():
        pytest.skip("axe-core is not installed (package axe-playwright-python)")
    return source.read_text(encoding="utf-8")


def test_a_report_is_one_small_file_that_asks_for_nothing(page):
    others = [url for url in page.requests if not url.startswith("data:") and url != page.file.as_uri()]
    assert others == []
    assert page.complaints == []
    assert page.file.stat().st_size < 8e6


def test_every_section_is_filled_and_every_link_and_image_alive(page):
    assert page.locator(".absent").all_inner_texts() == []
    anchors = page.locator("nav a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert {"#concepts", "#hierarchy", "#feature-visualisation", "#cost"} <= set(anchors)
    targets = page.locator("a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    dead = [target for target in targets if not target.startswith("#") or page.locator(target).count() != 1]
    assert dead == []
    images = page.locator("img").evaluate_all("all => all.map(each => [each.naturalWidth, each.alt])")
    assert len(images) > 20
    assert all(width > 0 and len(alt) > 20 for width, alt in images)


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(DESK, "light", marks=pytest.mark.slow), (PHONE, "dark")])
def test_axe_finds_nothing_serious(page, width, scheme):
    source = axe()
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.evaluate(OPEN_DETAILS)
    page.evaluate(source)
    violations = page.evaluate("axe.run()")["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"]) for each in violations if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_phone_needs_no_sideways_scrolling(page):
    page.set_viewport_size({"width": PHONE, "height": 800})
    for _ in ("folded", "unfolded"):
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
        page.evaluate(OPEN_DETAILS)


def test_a_keyboard_skips_to_the_content_and_opens_what_is_folded(page):
    page.keyboard.press("Tab")
    box = page.locator(".skip").bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")
