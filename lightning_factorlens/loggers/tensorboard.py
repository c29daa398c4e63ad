"""Images, texts, histograms, the layout of the scalars and the projector in TensorBoard."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor

from lightning_factorlens.loggers.base import has_methods, logger_prefix
from lightning_factorlens.loggers.layout import Layout
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.loggers.projector import write_embedding
from lightning_factorlens.loggers.sibling_runs import is_written_in_folder
from lightning_factorlens.results import Observation

#: Methods by which a TensorBoard writer is recognised.
REQUIRED_METHODS = ("add_image", "add_histogram", "add_custom_scalars", "add_text", "add_embedding")
#: Largest number of bins of a histogram; of few values there are fewer.
BINS = 30

#: The layout last written to each writer, which replaces earlier ones: two lenses add their categories to one layout.
_layouts: WeakKeyDictionary[Any, Layout] = WeakKeyDictionary()


class TensorBoardMediaLogger(MediaLogger):
    """Writes through a ``SummaryWriter``, which is not closed here.

    Args:
        writer: The writer, or anything with the methods `REQUIRED_METHODS`.
        tag_prefix: Text that the logger puts before every tag.
    """

    writes_from_any_thread: ClassVar[bool] = True  # a writer puts events into a queue, under a lock

    def __init__(self, writer: Any, tag_prefix: str = "") -> None:
        self.writer = writer
        self.tag_prefix = tag_prefix

    @classmethod
    def wrap(cls, logger: Any) -> TensorBoardMediaLogger | None:
        """Wraps a logger whose experiment is such a writer; returns None for any other."""
        writer = getattr(logger, "experiment", None)
        if not has_methods(writer, *REQUIRED_METHODS):
            return None
        return cls(writer, logger_prefix(logger))

    def log_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Writes one image, softened for the page "Images"."""
        from lightning_factorlens.plots.style import soften

        self.writer.add_image(self.tag_prefix + tag, soften(pixels), step, dataformats="HWC")

    def log_text(self, tag: str, text: str, step: int) -> None:
        """Writes a text on the page "Text"."""
        self.writer.add_text(self.tag_prefix + tag, text, step)

    def log_guide(self, tag: str, text: str) -> None:
        """Writes a text on the page "Text", unless this run or one in a folder beside it has it already.

        The page shows the texts of all runs below each other, so that a guide in every run would hide the results.
        """
        log_dir = getattr(self.writer, "log_dir", None)
        # Lightning's stand-in for a writer, under fast_dev_run, has a function under every name
        if isinstance(log_dir, str) and is_written_in_folder(text, Path(log_dir)):
            return
        self.log_text(tag, text, 0)
        self.writer.flush()  # so that a run that is started now finds it

    def log_histogram(self, tag: str, values: Tensor, step: int) -> None:
        """Writes a histogram whose bins have equal widths; there are 2 √n of them for n values, at most `BINS`."""
        n_bins = min(BINS, math.ceil(2 * math.sqrt(len(values))))
        self.writer.add_histogram(self.tag_prefix + tag, values.numpy(), step, bins=n_bins)

    def log_layout(self, layout: Layout) -> None:
        """Writes the layout of the page "Custom Scalars" where it differs from the last one."""
        known = _layouts.get(self.writer, {})
        combined = known | layout
        if combined != known:
            _layouts[self.writer] = combined
            self.writer.add_custom_scalars(combined)

    def log_embedding(self, tag: str, observation: Observation) -> None:
        """Writes the sample factor for the projector."""
        write_embedding(self.writer, observation, tag)
