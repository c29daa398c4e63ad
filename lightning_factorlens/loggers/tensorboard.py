"""What only TensorBoard takes: a layout of the scalars, histograms of spectra, pictures, cards, the projector."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from lightning_factorlens.loggers.figure_schedule import Pictures
from lightning_factorlens.loggers.layout import Layout, scalar_layout
from lightning_factorlens.loggers.projector import write_embedding
from lightning_factorlens.loggers.tags import (
    PREFIX,
    check_prefix,
    middle_rank,
    monitored_scalars,
    other_scalars,
    tag_names,
)
from lightning_factorlens.loggers.text_reports import metric_guide, run_summary
from lightning_factorlens.results import Observation

#: What a writer must have to be taken for TensorBoard's.
REQUIRED_METHODS = ("add_image", "add_histogram", "add_custom_scalars", "add_text", "add_embedding")
#: Bins of a histogram of eigenvalues, evenly spaced in the logarithm.
BINS = 30

#: A writer has one layout, the last one written; two lenses on one writer each add their category to it.
_layouts: WeakKeyDictionary[Any, Layout] = WeakKeyDictionary()


class TensorBoardExtras:
    """Beside the scalars, which are written elsewhere.

    Args:
        writer: A ``SummaryWriter``, or anything with the methods `TAKES`. It is not closed here.
        prefix: What the tags begin with.
        layout: Whether to write a custom-scalars layout. It replaces any layout of the user's own.
        tag_prefix: What the logger puts before every tag when it writes.

    Raises:
        ValueError: When ``prefix`` is no part of a tag.
    """

    def __init__(self, writer: Any, prefix: str = PREFIX, layout: bool = True, tag_prefix: str = "") -> None:
        self.writer = writer
        self.prefix = check_prefix(prefix)
        self.layout = layout
        self.tag_prefix = tag_prefix
        self._tags: dict[str, None] = {}
        self._introduced = False

    def write(self, observation: Observation, pictures: Pictures, others: Collection[str] = ()) -> None:
        """Write the layout when there are new tags, the histograms, and the pictures that are due.

        Args:
            observation: The present one.
            pictures: See `Album`.
            others: Tags under the same prefix that other callbacks log, for the layout.
        """
        if not self._introduced:
            self._introduced = True
            self.writer.add_text(f"{self.tag_prefix}{self.prefix}/how_to_read", metric_guide(self.prefix), 0)
        if self.layout:
            self._write_layout(observation, others)
        self._write_histograms(observation)
        self.draw(pictures, observation.step)

    def draw(self, pictures: Pictures, step: int) -> None:
        """Write pictures at a step."""
        for name, pixels in pictures.items():
            self.writer.add_image(f"{self.tag_prefix}{self.prefix}_figures/{name}", pixels, step, dataformats="HWC")

    def close(self, last: Observation, history: Sequence[Observation], projector: bool = True) -> None:
        """Write what stands at the end of a run: its result in words, and the probe in the projector.

        Args:
            last: The last observation, whole.
            history: All of the run, oldest first.
            projector: Whether the projector is wanted.
        """
        self.writer.add_text(f"{self.tag_prefix}{self.prefix}/result", run_summary(history, self.prefix), last.step)
        if projector:
            write_embedding(self.writer, last, f"{self.prefix}_F")

    def _write_layout(self, observation: Observation, others: Collection[str]) -> None:
        """Once per writer, unless a tag comes late, such as an alpha that an untrained layer did not have."""
        mine = monitored_scalars(observation, self.prefix) | other_scalars(observation, self.prefix)
        tags = self._tags | dict.fromkeys([*mine, *others])
        if len(tags) == len(self._tags):
            return
        self._tags = tags
        rank = middle_rank(observation.curves["total"].ranks)
        layout = scalar_layout(tags, rank, self.prefix, self.tag_prefix)
        known = _layouts.get(self.writer, {})
        if layout.get(self.prefix) != known.get(self.prefix):
            _layouts[self.writer] = known | layout
            self.writer.add_custom_scalars(_layouts[self.writer])

    def _write_histograms(self, observation: Observation) -> None:
        for spectrum, label in zip(observation.spectra, tag_names(s.layer for s in observation.spectra)):
            eigenvalues = spectrum.eigenvalues.detach().double().cpu()
            positive = eigenvalues[torch.isfinite(eigenvalues) & (eigenvalues > 0)]
            if len(positive):  # TensorBoard refuses an empty histogram
                tag = f"{self.tag_prefix}{self.prefix}_spectra/{label}/log10_eigenvalues"
                self.writer.add_histogram(tag, positive.log10().numpy(), observation.step, bins=BINS)
