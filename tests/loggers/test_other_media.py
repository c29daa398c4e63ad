"""Images and texts in Aim, LitLogger, ClearML and loggers with ``log_image``: with stand-ins that have their methods."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lightning_factorlens.loggers.media_registry import get_media_logger

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 4), dtype=np.uint8)


def of_package(module, **methods):
    """An object whose class is defined in ``module``."""
    return type("Experiment", (), {"__module__": module, **methods})()


def write(logger):
    media = get_media_logger(logger)
    media.log_image("factorlens_figures/1_history", PIXELS, 7)
    media.log_text("factorlens/result", "text", 8)


def test_aim_gets_objects_in_the_context_of_its_scalars(monkeypatch):
    aim = SimpleNamespace(Image=lambda image, format: ("image", np.asarray(image), format), Text=lambda text: text)
    monkeypatch.setitem(sys.modules, "aim", aim)
    tracked = []

    def track(run, value, name=None, step=None, epoch=None, *, context=None):
        tracked.append((value, name, step, context))

    run = of_package("aim.sdk.run", track=track)
    write(SimpleNamespace(experiment=run, parse_context=lambda name: (name, {"subset": "val"})))
    (image, *where), text = tracked
    np.testing.assert_array_equal(image[1], PIXELS)
    assert where == ["factorlens_figures/1_history", 7, {"subset": "val"}]
    assert text == ("text", "factorlens/result", 8, {"subset": "val"})


def test_litlogger_gets_series_of_files(monkeypatch):
    monkeypatch.setitem(sys.modules, "litlogger", SimpleNamespace(Image=lambda data: data, Text=lambda text: text))
    appended = {}

    def series(experiment, key):
        return SimpleNamespace(append=lambda value, step=None: appended.update({(key, step): value}))

    experiment = of_package("litlogger.experiment", __getitem__=series)
    write(SimpleNamespace(experiment=experiment, _prefix="run", LOGGER_JOIN_CHAR="-"))
    assert appended["run-factorlens_figures/1_history", 7] is PIXELS
    assert appended["run-factorlens/result", 8] == "text"


@pytest.mark.parametrize("is_task", [True, False])
def test_clearml_gets_images_without_opacity(is_task):
    found = {}

    def report_image(logger, title, series, iteration=None, local_path=None, image=None):
        found["image"] = (title, series, iteration, image)

    def report_text(logger, msg, level=20, print_console=True):
        found["text"] = (msg, print_console)

    reporter = of_package("clearml.logger", report_image=report_image, report_text=report_text)
    task = of_package("clearml.task", get_logger=lambda task: reporter)
    write(SimpleNamespace(experiment=task if is_task else reporter))
    title, series, step, image = found["image"]
    assert (title, series, step) == ("factorlens_figures", "1_history", 7)
    opacity = PIXELS[..., 3:] / 255
    np.testing.assert_allclose(image, PIXELS[..., :3] * opacity + 255 * (1 - opacity), atol=0.51)
    assert found["text"] == ("factorlens/result, step 8\ntext", False)


def test_a_logger_with_log_image_gets_images_alone():
    class Logger:
        def __init__(self):
            self.images = {}

        def log_image(self, key, images, step=None, **kwargs):
            self.images[key, step] = images

    logger = Logger()
    write(logger)
    ((where, images),) = logger.images.items()
    assert where == ("factorlens_figures/1_history", 7)
    assert images[0] is PIXELS
    assert get_media_logger(SimpleNamespace(log_image=lambda path: None)) is None
