"""What only TensorBoard takes: a layout of the scalars, histograms of spectra, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch

from lightning_factorlens.sinks.layout import Layout, scalar_layout
from lightning_factorlens.sinks.tags import PREFIX, checked_prefix, details, middle_rank, summaries, tag_names
from lightning_factorlens.types import Observation

V = TypeVar("V")

#: A writer has one layout, the last one written; two lenses on one writer each add their category to it.
_layouts: WeakKeyDictionary[Any, Layout] = WeakKeyDictionary()


class TensorBoardExtras:
    """Beside the scalars, which are written elsewhere.

    Args:
        writer: A ``SummaryWriter``, or anything with its ``add_figure``, ``add_histogram`` and
            ``add_custom_scalars``. It is not closed here.
        prefix: What the tags begin with.
        layout: Whether to write a custom-scalars layout. It replaces any layout of the user's own.
        figures_every: Figures at the first, then every so many observations, and the last; 0 for none.
        tag_prefix: What the logger puts before every tag when it writes.

    Raises:
        ValueError: When ``figures_every`` is negative or ``prefix`` is no part of a tag.
    """

    def __init__(
        self,
        writer: Any,
        prefix: str = PREFIX,
        layout: bool = True,
        figures_every: int = 1,
        tag_prefix: str = "",
    ) -> None:
        if figures_every < 0:
            raise ValueError(f"figures_every must be 0 (no figures) or more; found {figures_every}")
        self.writer = writer
        self.prefix = checked_prefix(prefix)
        self.layout = layout
        self.figures_every = figures_every
        self.tag_prefix = tag_prefix
        self._seen = 0
        self._tags: dict[str, None] = {}
        self._history: list[Observation] = []
        self._undrawn: Observation | None = None

    def write(self, observation: Observation) -> None:
        """Write the layout when there are new tags, the histograms, and figures when they are due."""
        if self.layout:
            self._write_layout(observation)
        self._write_histograms(observation)
        if self.figures_every:
            self._history.append(_light(observation))
            due = self._seen % self.figures_every == 0
            if due:
                self._write_figures(observation)
            self._undrawn = None if due else observation
        self._seen += 1

    def close(self) -> None:
        """Draw the last observation, if it was not, and forget the past; the writer belongs to its logger."""
        if self._undrawn is not None:
            self._write_figures(self._undrawn)
        self._undrawn = None
        self._history.clear()

    def _write_layout(self, observation: Observation) -> None:
        """Once per writer, unless a tag comes late, such as an alpha that an untrained layer did not have."""
        tags = self._tags | dict.fromkeys(summaries(observation, self.prefix) | details(observation, self.prefix))
        if len(tags) == len(self._tags):
            return
        self._tags = tags
        rank = middle_rank(observation.curves["total"].ranks)
        mine = scalar_layout(tags, rank, self.prefix, self.tag_prefix)
        known = _layouts.get(self.writer, {})
        if mine.get(self.prefix) != known.get(self.prefix):
            _layouts[self.writer] = known | mine
            self.writer.add_custom_scalars(_layouts[self.writer])

    def _write_histograms(self, observation: Observation) -> None:
        for spectrum, label in zip(observation.spectra, tag_names(s.layer for s in observation.spectra)):
            eigenvalues = spectrum.eigenvalues.detach().double().cpu()
            positive = eigenvalues[torch.isfinite(eigenvalues) & (eigenvalues > 0)]
            if len(positive):  # TensorBoard refuses an empty histogram
                tag = f"{self.tag_prefix}{self.prefix}_spectra/{label}/log10_eigenvalues"
                self.writer.add_histogram(tag, positive.log10().numpy(), observation.step, bins="auto")

    def _write_figures(self, observation: Observation) -> None:
        # Here and not above: matplotlib is slow to import, and only wanted when something is drawn.
        from lightning_factorlens.sinks.alpha_figure import alpha_figure
        from lightning_factorlens.sinks.figures import rank_curve_figure
        from lightning_factorlens.sinks.latent_figure import latent_figure
        from lightning_factorlens.sinks.spectra_figure import spectra_figure

        figures = {
            "rank_curve": rank_curve_figure(self._history),
            "spectra": spectra_figure(observation),
            "alpha": alpha_figure(self._history),
            "latent_images": latent_figure(observation),
        }
        for name, figure in figures.items():
            if figure is not None:
                tag = f"{self.tag_prefix}{self.prefix}_figures/{name}"
                self.writer.add_figure(tag, figure, observation.step)


def _light(observation: Observation) -> Observation:
    """What the figures over epochs need of it, without the tensors, which a history must not keep alive."""
    return replace(
        observation,
        curves=_total(observation.curves),
        floors=_total(observation.floors),
        spectra=tuple(replace(s, eigenvalues=s.eigenvalues.new_empty(0)) for s in observation.spectra),
        images=None,
        factorization=None,
    )


def _total(scopes: Mapping[str, V]) -> dict[str, V]:
    return {scope: value for scope, value in scopes.items() if scope == "total"}
