"""The first figure of a run, with what the default stopping rule would do."""

from lightning_factorlens.measurements.base import FigureSpec
from lightning_factorlens.plots.dashboard import dashboard_figure

#: TensorBoard sorts the groups of its first page by their names, capital letters first: before Lightning's "epoch".
DASHBOARD = FigureSpec(
    "dashboard",
    dashboard_figure,
    "Is the network still learning, is it memorising, and when is it time to stop? The last answer is that of the "
    "run's LabelFreeStopping; without one, that of its default rule at a constant learning rate. The diamond marks the "
    "lowest consistency, the area a rise above it by more than a tenth, the dotted line the best epoch by the stopping "
    "rule, the dashed line its stop.",
    needs_tensors=False,
    takes_advice=True,
    tag="Dashboard/{prefix}",
)
