"""The figure of several measurements: the stop signal and the ranks over the epochs."""

from lightning_factorlens.measurements.base import FigureSpec
from lightning_factorlens.plots.history import history_figure

HISTORY = FigureSpec(
    "history",
    history_figure,
    "Consistency over epochs; the diamond marks the best epoch by the stopping rule that the title names. Below, the "
    "required ranks: level, or still rising?",
    needs_tensors=False,
    takes_advice=True,
)
