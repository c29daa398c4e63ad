"""The figure of several measurements: the stop signal and the ranks over the epochs."""

from lightning_factorlens.measurements.base import FigureSpec
from lightning_factorlens.plots.history import history_figure

HISTORY = FigureSpec(
    "history",
    history_figure,
    "Consistency over epochs; the diamond marks its lowest epoch. Below, the required ranks: level, or still rising?",
    needs_tensors=False,
)
