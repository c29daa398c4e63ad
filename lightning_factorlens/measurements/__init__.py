"""The measurements of a lens: each is an object in a file of its own, with its scalars, its figures and its needs."""

from lightning_factorlens.measurements.base import FigureSpec, Measurement, record_types
from lightning_factorlens.measurements.checked_measurements import check_measurements
from lightning_factorlens.measurements.concept_quality import ConceptQuality
from lightning_factorlens.measurements.consistency import Consistency
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.defaults import default_measurements
from lightning_factorlens.measurements.effective_rank import EffectiveRank
from lightning_factorlens.measurements.intermediates import Intermediates
from lightning_factorlens.measurements.neuron_similarity import NeuronSimilarity
from lightning_factorlens.measurements.node_health import NodeHealth
from lightning_factorlens.measurements.observation_cost import ObservationCost
from lightning_factorlens.measurements.output_needs import OUTPUT_NEEDS, no_class_scores, without_outputs
from lightning_factorlens.measurements.perturbation_consistency import PerturbationConsistency
from lightning_factorlens.measurements.prediction_change import PredictionChange
from lightning_factorlens.measurements.prediction_confidence import PredictionConfidence
from lightning_factorlens.measurements.rank_at_error import RankAtError
from lightning_factorlens.measurements.reconstruction_error import ReconstructionError
from lightning_factorlens.measurements.root_mean_square import RootMeanSquare
from lightning_factorlens.measurements.scalar import DETAILS, Detail, Scalar
from lightning_factorlens.measurements.semantic_hierarchy import SemanticHierarchy
from lightning_factorlens.measurements.svd_error import SVDError
from lightning_factorlens.measurements.unit_pictures import UnitPictures
from lightning_factorlens.measurements.weight_spectra import WeightSpectra

__all__ = [
    "DETAILS",
    "OUTPUT_NEEDS",
    "ConceptQuality",
    "Consistency",
    "Context",
    "Detail",
    "EffectiveRank",
    "FigureSpec",
    "Intermediates",
    "Measurement",
    "NeuronSimilarity",
    "NodeHealth",
    "ObservationCost",
    "PerturbationConsistency",
    "PredictionChange",
    "PredictionConfidence",
    "RankAtError",
    "ReconstructionError",
    "RootMeanSquare",
    "SVDError",
    "Scalar",
    "SemanticHierarchy",
    "UnitPictures",
    "WeightSpectra",
    "check_measurements",
    "default_measurements",
    "no_class_scores",
    "record_types",
    "without_outputs",
]
