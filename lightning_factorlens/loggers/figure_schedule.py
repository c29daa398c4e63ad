"""The pictures of a run: drawn on a cadence, once for all loggers that can show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from lightning_factorlens.results import Observation

V = TypeVar("V")

#: Pixels, uint8, shape (height, width, 3), by name.
Pictures = dict[str, np.ndarray]


class FigureSchedule:
    """Keeps what pictures over epochs need, and says when pictures are due.

    Args:
        every: Pictures at the first observation, then every so many, and the last; 0 for none.

    Raises:
        ValueError: When ``every`` is negative.
    """

    def __init__(self, every: int = 1) -> None:
        if every < 0:
            raise ValueError(f"figures_every_n must be 0 (no figures) or more; found {every}")
        self.every = every
        self.history: list[Observation] = []
        self.last: Observation | None = None
        self._undrawn = False

    def add(self, observation: Observation) -> Pictures:
        """Takes one observation; its pictures when they are due, else none."""
        due = self.every > 0 and len(self.history) % self.every == 0
        self.history.append(_light(observation))
        self.last, self._undrawn = observation, self.every > 0 and not due
        return self._draw() if due else {}

    def flush(self) -> Pictures:
        """The pictures of the last observation, if it has not been drawn."""
        due, self._undrawn = self._undrawn, False
        return self._draw() if due else {}

    def clear(self) -> None:
        """Lets go of all observations."""
        self.history, self.last, self._undrawn = [], None, False

    def _draw(self) -> Pictures:
        assert self.last is not None
        return render_figures(self.last, self.history)


def render_figures(observation: Observation, history: list[Observation]) -> Pictures:
    """Everything that can be drawn of one observation and those before it.

    Args:
        observation: The present one, whole.
        history: All of the run, oldest first, the present one last; of these no tensors are read.
    """
    # Here and not above: matplotlib is slow to import, and only wanted when something is drawn.
    from lightning_factorlens.plots.alpha import alpha_figure
    from lightning_factorlens.plots.history import history_figure
    from lightning_factorlens.plots.latent_images import latent_figure
    from lightning_factorlens.plots.layer_factors import layer_factors_figure
    from lightning_factorlens.plots.rank_curve import rank_curve_figure
    from lightning_factorlens.plots.similarity import similarity_figure
    from lightning_factorlens.plots.spectra import spectra_figure
    from lightning_factorlens.plots.style import to_array

    figures = {  # TensorBoard sorts by name, and six fit a page
        "1_course": history_figure(history),
        "2_rank_curve": rank_curve_figure(history),
        "3_latent_images": latent_figure(observation),
        "4_hidden_layers": layer_factors_figure(observation),
        "5_similarity": similarity_figure(observation),
        "6_alpha": alpha_figure(history),
        "7_spectra": spectra_figure(observation),
    }
    return {name: to_array(figure) for name, figure in figures.items() if figure is not None}


def _light(observation: Observation) -> Observation:
    """What the figures over epochs need of it, without the tensors, which a history must not keep alive."""
    return replace(
        observation,
        curves=_total(observation.curves),
        svd_curves=_total(observation.svd_curves),
        spectra=tuple(replace(s, eigenvalues=s.eigenvalues.new_empty(0)) for s in observation.spectra),
        images=None,
        factorization=None,
        similarity=(),
    )


def _total(scopes: Mapping[str, V]) -> dict[str, V]:
    return {scope: value for scope, value in scopes.items() if scope == "total"}
