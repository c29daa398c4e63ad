"""What Comet's experiment receives."""

import numpy as np
from PIL import Image

from lightning_factorlens.loggers.comet import CometMediaLogger


class Experiment:
    """The methods of ``comet_ml``'s experiment that are used."""

    def __init__(self):
        self.images, self.texts = {}, {}

    def log_image(self, image_data, name, step):
        self.images[name, step] = np.asarray(Image.open(image_data).convert("RGB"))

    def log_text(self, text, step, metadata):
        self.texts[metadata["name"], step] = text

    def log_metrics(self, metrics):
        raise AssertionError("scalars go through the logger")

    def get_key(self):
        return "key"


class Logger:
    def __init__(self, prefix):
        self.experiment, self._prefix = Experiment(), prefix


def test_images_are_png_files_and_names_have_the_loggers_prefix():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    for prefix, before in (("run", "run_"), (None, ""), ("", "")):
        logger = Logger(prefix)
        media = CometMediaLogger.wrap(logger)
        media.log_image("factorlens_figures/1_history", pixels, 7)
        media.log_text("factorlens/result", "text", 8)
        ((name, image),) = logger.experiment.images.items()
        assert name == (f"{before}factorlens_figures/1_history", 7)
        np.testing.assert_array_equal(image, pixels)
        assert logger.experiment.texts == {(f"{before}factorlens/result", 8): "text"}


def test_a_logger_with_another_experiment_is_not_comets():
    logger = Logger("run")
    logger.experiment = object()
    assert CometMediaLogger.wrap(logger) is None
