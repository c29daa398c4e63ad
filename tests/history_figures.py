"""The figures that are drawn from the observations of a run, by name; the others take one record."""

from lightning_factorlens import plots
from lightning_factorlens.measurements.dashboard import DASHBOARD

#: Names of functions of `plots` that take one observation, a spectrum, or what the analyses of concepts return.
OF_ONE_RECORD = (
    "decomposition_figure",
    "deconvnet_figure",
    "exemplars_figure",
    "feature_maps_figure",
    "hasse_figure",
    "hierarchy_nulls_figure",
    "incidence_figure",
    "layer_norms_figure",
    "node_health_figure",
    "node_importance_figure",
    "observation_figure",
    "overlay_figure",
    "projection_figure",
    "spectrum_figure",
    "tcav_figure",
    "unit_spread_figure",
    "weight_pictures_figure",
)


def takes_history(name):
    return name not in OF_ONE_RECORD and not name.startswith("concept_")


#: The dashboard is drawn with the advice of a stopping rule, and by its measurement without one.
HISTORY_FIGURES = {name: getattr(plots, name) for name in plots.__all__ if takes_history(name)}
HISTORY_FIGURES["dashboard_figure"] = DASHBOARD.draw
