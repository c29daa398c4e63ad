"""Figures of observations. The only package that draws: every figure is a function that returns a matplotlib Figure.

matplotlib is imported when the first figure is drawn.
"""

from lightning_factorlens.plots.alpha import alpha_figure
from lightning_factorlens.plots.concept_card import concept_card_figure
from lightning_factorlens.plots.concept_sheet import concept_sheet_figure
from lightning_factorlens.plots.concept_timeline import concept_timeline_figure
from lightning_factorlens.plots.dashboard import dashboard_figure
from lightning_factorlens.plots.decomposition import decomposition_figure
from lightning_factorlens.plots.deconvnet import deconvnet_figure
from lightning_factorlens.plots.exemplars import exemplars_figure
from lightning_factorlens.plots.feature_visualization import feature_visualization_figure
from lightning_factorlens.plots.hasse import hasse_figure
from lightning_factorlens.plots.hierarchy_course import hierarchy_course_figure
from lightning_factorlens.plots.hierarchy_nulls import hierarchy_nulls_figure
from lightning_factorlens.plots.history import history_figure
from lightning_factorlens.plots.incidence import incidence_figure
from lightning_factorlens.plots.latent_images import latent_images_figure
from lightning_factorlens.plots.layer_factors import layer_factors_figure
from lightning_factorlens.plots.node_health import node_health_figure
from lightning_factorlens.plots.node_importance import layer_norms_figure, node_importance_figure
from lightning_factorlens.plots.observation import observation_figure
from lightning_factorlens.plots.overlays import overlay_figure
from lightning_factorlens.plots.projection_maps import projection_figure
from lightning_factorlens.plots.rank_curve import rank_curve_figure
from lightning_factorlens.plots.similarity import concept_similarity_figure, similarity_figure
from lightning_factorlens.plots.spectra import spectra_figure, spectrum_figure
from lightning_factorlens.plots.tcav import tcav_figure
from lightning_factorlens.plots.unit_pictures import feature_maps_figure, weight_pictures_figure
from lightning_factorlens.plots.unit_spread import unit_spread_figure

__all__ = [
    "alpha_figure",
    "concept_card_figure",
    "concept_sheet_figure",
    "concept_similarity_figure",
    "concept_timeline_figure",
    "dashboard_figure",
    "decomposition_figure",
    "deconvnet_figure",
    "exemplars_figure",
    "feature_maps_figure",
    "feature_visualization_figure",
    "hasse_figure",
    "hierarchy_course_figure",
    "hierarchy_nulls_figure",
    "history_figure",
    "incidence_figure",
    "latent_images_figure",
    "layer_factors_figure",
    "layer_norms_figure",
    "node_health_figure",
    "node_importance_figure",
    "observation_figure",
    "overlay_figure",
    "projection_figure",
    "rank_curve_figure",
    "similarity_figure",
    "spectra_figure",
    "spectrum_figure",
    "tcav_figure",
    "unit_spread_figure",
    "weight_pictures_figure",
]
