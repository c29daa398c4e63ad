"""The figure of each type of result, and into how many axes it can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_factorlens import results
from lightning_factorlens.plots.concept_sheet import concept_sheet_figure
from lightning_factorlens.plots.concept_timeline import concept_timeline_figure
from lightning_factorlens.plots.decomposition import decomposition_figure
from lightning_factorlens.plots.deconvnet import deconvnet_figure
from lightning_factorlens.plots.exemplars import exemplars_figure
from lightning_factorlens.plots.feature_visualization import feature_visualization_figure
from lightning_factorlens.plots.hasse import hasse_figure
from lightning_factorlens.plots.hierarchy_nulls import hierarchy_nulls_figure
from lightning_factorlens.plots.history import history_figure
from lightning_factorlens.plots.node_health import node_health_figure
from lightning_factorlens.plots.node_importance import node_importance_figure
from lightning_factorlens.plots.observation import draw_observation, observation_figure
from lightning_factorlens.plots.overlays import overlay_figure
from lightning_factorlens.plots.projection_maps import projection_figure
from lightning_factorlens.plots.rank_curves import rank_curves_figure
from lightning_factorlens.plots.similarity import layer_similarity_figure
from lightning_factorlens.plots.spectra import MAX_LAYERS, layer_spectra_figure, spectrum_figure
from lightning_factorlens.plots.style import figure_of, subsample
from lightning_factorlens.plots.tcav import tcav_figure
from lightning_factorlens.plots.unit_pictures import feature_maps_figure, weight_pictures_figure
from lightning_factorlens.plots.unit_spread import unit_spread_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor


@dataclass(frozen=True)
class ResultFigure:
    """How results of one type are drawn.

    Attributes:
        draw: Makes a new figure, or returns None where the result has nothing to draw.
        missing: What such a result lacks, in words.
        is_single: Whether the figure has one axes, whatever the result.
        draw_into: Draws into a user's axes, of which there are ``count_axes(result)``, and returns None where there is
            nothing to draw. The attribute is None where the panels are laid out together, in a figure of their own.
        count_axes: The number of axes that ``draw_into`` fills.
    """

    draw: Callable[..., Figure | None]
    missing: str = ""
    is_single: bool = False
    draw_into: Callable[..., Figure | None] | None = None
    count_axes: Callable[[Any], int] = lambda _: 1


def _one_panel(draw: Callable[..., Figure | None], missing: str = "") -> ResultFigure:
    """The figure of a function that takes ``ax=``."""

    def draw_into(result: Any, axes: Sequence[Axes], **options: Any) -> Figure | None:
        return draw(result, ax=axes[0], **options)

    return ResultFigure(draw, missing, is_single=True, draw_into=draw_into)


def _observation_into(observation: results.Observation, axes: Sequence[Axes]) -> Figure:
    draw_observation(observation, axes[0], axes[1])
    return figure_of(axes[0])


def _spectra(record: results.LayerSpectra) -> Figure | None:
    return layer_spectra_figure(record.layers) if record.layers else None


def _spectra_into(record: results.LayerSpectra, axes: Sequence[Axes]) -> Figure | None:
    figure = None
    for spectrum, ax in zip(subsample(record.layers, MAX_LAYERS), axes):
        figure = spectrum_figure(spectrum, ax)
    return figure


def _count_spectra(record: results.LayerSpectra) -> int:
    return min(len(record.layers), MAX_LAYERS)


def _concepts(record: results.ConceptRecord) -> Figure | None:
    return None if record.page is None else concept_sheet_figure(record.page)


def _exemplars(
    exemplars: results.Exemplars, inputs: Tensor | np.ndarray | None = None, **options: Any
) -> Figure | None:
    if inputs is None:
        raise TypeError(
            "inputs: Exemplars holds positions of images alone; pass the images of the probe, as plot(inputs=images), "
            "or as plot(inputs=lens.draw(samples).inputs)."
        )
    return exemplars_figure(exemplars, inputs, **options)


def _last_hierarchy(record: results.LayerHierarchies) -> Figure | None:
    return None if record.diagram is None else hasse_figure(record.diagram)


def _unit_pictures(record: results.UnitPicturesRecord) -> Figure | None:
    return None if record.found is None else feature_visualization_figure(record.found)


#: A type that is not here has the figure of the class that it is derived from.
FIGURES: dict[type, ResultFigure] = {
    results.Observation: ResultFigure(observation_figure, draw_into=_observation_into, count_axes=lambda _: 2),
    results.History: ResultFigure(
        history_figure, "two observations with consistency, required ranks or an effective rank"
    ),
    results.RankCurves: _one_panel(rank_curves_figure, "curves"),
    results.LayerSpectrum: _one_panel(spectrum_figure),
    results.LayerSpectra: ResultFigure(_spectra, "spectra", draw_into=_spectra_into, count_axes=_count_spectra),
    results.LayerSimilarities: ResultFigure(layer_similarity_figure, "layers with at least two components"),
    results.NodeHealthResult: _one_panel(node_health_figure),
    results.NodeImportance: _one_panel(node_importance_figure),
    results.UnitSpread: _one_panel(unit_spread_figure),
    results.TCAVResult: ResultFigure(tcav_figure, "layers and classes"),
    results.ConceptPage: ResultFigure(concept_sheet_figure, "concepts"),
    results.ConceptRecord: ResultFigure(_concepts, "a page of concepts, which histories and files do not keep"),
    results.ConceptTimeline: ResultFigure(concept_timeline_figure, "a second fit", is_single=True),
    results.HierarchyRecord: ResultFigure(hasse_figure, "classes of vectors", is_single=True),
    results.LayerHierarchies: ResultFigure(
        _last_hierarchy, "the hierarchy of the last layer, which histories and files do not keep", is_single=True
    ),
    results.HierarchyReport: ResultFigure(hierarchy_nulls_figure),
    results.LayerDecomposition: ResultFigure(decomposition_figure),
    results.Exemplars: ResultFigure(_exemplars, "inputs that are images", is_single=True),
    results.ProjectionMaps: ResultFigure(projection_figure),
    results.SimilarityOverlay: ResultFigure(overlay_figure),
    results.FeatureVisualization: ResultFigure(feature_visualization_figure, "inputs that are images"),
    results.UnitPicturesRecord: ResultFigure(_unit_pictures, "pictures, which histories and files do not keep"),
    results.UnitProjections: ResultFigure(deconvnet_figure, "inputs that are images"),
    results.WeightPictures: ResultFigure(weight_pictures_figure),
    results.FeatureMaps: ResultFigure(feature_maps_figure, "inputs that are images, or units that have positions"),
}
