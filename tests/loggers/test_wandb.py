"""Which loggers count as Weights & Biases' logger, and what they receive."""

import numpy as np

from lightning_factorlens.loggers.wandb import WandbMediaLogger


class Logger:
    def __init__(self):
        self.calls = []

    def log_image(self, key, images, step=None):
        self.calls.append((key, images, step))

    def log_text(self, key, columns=None, data=None, step=None):
        self.calls.append((key, columns, data, step))


class OtherParameters(Logger):
    def log_image(self, key, picture, step=None):
        raise AssertionError("not called")


def test_images_and_texts_are_written_at_their_step():
    logger, pixels = Logger(), np.zeros((2, 3, 3), dtype=np.uint8)
    media = WandbMediaLogger.wrap(logger)
    media.log_image("figure", pixels, 7)
    media.log_text("report", "text", 8)
    assert logger.calls == [("figure", [pixels], 7), ("report", ["text"], [["text"]], 8)]


def test_a_logger_with_other_methods_or_parameters_is_another():
    assert WandbMediaLogger.wrap(OtherParameters()) is None
    assert WandbMediaLogger.wrap(object()) is None
