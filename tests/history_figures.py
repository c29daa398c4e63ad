"""The figures of the default measurements, which are drawn from the observations of a run, by name."""

import inspect

from lightning_factorlens import plots
from lightning_factorlens.measurements.dashboard import DASHBOARD

#: Figures of measurements that are not made by default.
ON_DEMAND = ("concept_timeline_figure", "hierarchy_course_figure")


def takes_history(name):
    parameters = inspect.signature(getattr(plots, name)).parameters
    return next(iter(parameters)) == "history" and name not in ON_DEMAND


#: The dashboard is drawn with the advice of a stopping rule, and by its measurement without one.
HISTORY_FIGURES = {name: getattr(plots, name) for name in plots.__all__ if takes_history(name)}
HISTORY_FIGURES["dashboard_figure"] = DASHBOARD.draw
