"""The base class of the metrics in `lightning_factorlens.metrics.torchmetrics`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_factorlens.linalg.row_sums import sums_to_one
from lightning_factorlens.metrics.probabilities import count_missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ImageMetric(Metric):
    """A metric over images, of which every batch adds some.

    States are detached from the autograd graph. Sums are float64, whatever dtype the metric or the module that holds it
    is converted to. Before the first image, and where all batches were empty, the value is NaN; an empty batch adds
    nothing. Whether outputs are probabilities is decided once for all batches.

    Args:
        is_probability: Whether the outputs are probabilities. None decides it by the first batch that holds a
            prediction, see `lightning_factorlens.metrics.probabilities.log_probabilities`. Metrics that read classes or
            features alone ignore it.
        kwargs: See `torchmetrics.Metric`.
    """

    full_state_update = False

    def __init__(self, is_probability: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_probability = is_probability

    def decide_kind(self, outputs: Tensor) -> bool:
        """Whether the outputs are probabilities, also those of all later batches."""
        if self.is_probability is None and count_missing(outputs) < len(outputs):
            self.is_probability = sums_to_one(outputs)
        return bool(self.is_probability)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Draws one value, or several as a series, as the metrics of torchmetrics do.

        Args:
            val: A value of `compute` or a sequence of such values; None for the present value of `compute`.
            ax: Axes to draw into; None for a new figure, which pyplot knows.

        Returns:
            The figure and its axes.
        """
        from torchmetrics.utilities.plot import plot_single_or_multi_val

        values = self.compute() if val is None else val
        better = self.higher_is_better
        figure: Any
        drawn: Any
        figure, drawn = plot_single_or_multi_val(values, ax=ax, higher_is_better=better, name=type(self).__name__)
        return (drawn.get_figure() if figure is None else figure), drawn

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Moves the states to another device; their dtypes stay as they are."""
        states = {name: getattr(self, name) for name in self._defaults}
        defaults = dict(self._defaults)
        super()._apply(*args, **kwargs)
        for name, state in states.items():
            setattr(self, name, _like(state, getattr(self, name)))
            self._defaults[name] = _like(defaults[name], self._defaults[name])
        return self


def _like(state: Any, converted: Any) -> Any:
    """A state on the device of its converted copy, in its own dtype."""
    if isinstance(state, list):
        return [_like(one, other) for one, other in zip(state, converted)]
    return converted if converted.dtype == state.dtype else state.to(converted.device)


def no_value(device: torch.device) -> Tensor:
    """NaN, float64."""
    return torch.tensor(math.nan, dtype=torch.float64, device=device)
