"""Measures, without labels, how well a network is learning.

Importing this package imports neither lightning nor matplotlib: the names of `_public_names` are loaded when they are
first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lightning_factorlens._public_names import OPTIONAL_NAMES, PUBLIC_NAMES, PUBLIC_PACKAGES

if TYPE_CHECKING:  # the same names for type checkers and editors
    from lightning_factorlens.callbacks.factorlens_callback import FactorLensCallback as FactorLensCallback
    from lightning_factorlens.callbacks.label_free_stopping import LabelFreeStopping as LabelFreeStopping
    from lightning_factorlens.capture import DrawnBatch as DrawnBatch
    from lightning_factorlens.capture import Probe as Probe
    from lightning_factorlens.capture import capture_activations as capture_activations
    from lightning_factorlens.capture import capture_batches as capture_batches
    from lightning_factorlens.capture import isolate_model as isolate_model
    from lightning_factorlens.capture import probe_batch as probe_batch
    from lightning_factorlens.capture import select_layers as select_layers
    from lightning_factorlens.capture import trace_layers as trace_layers
    from lightning_factorlens.capture.forward_fn import ForwardArgs as ForwardArgs
    from lightning_factorlens.capture.linear_layers import linear_layers as linear_layers
    from lightning_factorlens.capture.outputs import Outputs as Outputs
    from lightning_factorlens.capture.signs import Denormalize as Denormalize
    from lightning_factorlens.capture.signs import KeepSigned as KeepSigned
    from lightning_factorlens.capture.signs import Rectify as Rectify
    from lightning_factorlens.capture.signs import Split as Split
    from lightning_factorlens.capture.signs import SubtractMin as SubtractMin
    from lightning_factorlens.concepts import affinity as affinity
    from lightning_factorlens.concepts import colour_image as colour_image
    from lightning_factorlens.concepts import compare_concepts as compare_concepts
    from lightning_factorlens.concepts import concept_changes as concept_changes
    from lightning_factorlens.concepts import concept_page as concept_page
    from lightning_factorlens.concepts import follow_concepts as follow_concepts
    from lightning_factorlens.concepts import masked_image as masked_image
    from lightning_factorlens.concepts import match_concepts as match_concepts
    from lightning_factorlens.concepts import name_concepts as name_concepts
    from lightning_factorlens.concepts.concept_direction import concept_direction as concept_direction
    from lightning_factorlens.concepts.latent_image import latent_image as latent_image
    from lightning_factorlens.concepts.layer_panels import layer_panels as layer_panels
    from lightning_factorlens.concepts.neighbours import neighbours as neighbours
    from lightning_factorlens.concepts.pixel_mask import pixel_mask as pixel_mask
    from lightning_factorlens.concepts.top_images import top_images as top_images
    from lightning_factorlens.concepts.utilisation import utilisation as utilisation
    from lightning_factorlens.config import LensOptions as LensOptions
    from lightning_factorlens.config import TensorBoardOptions as TensorBoardOptions
    from lightning_factorlens.distributed import get_process_group as get_process_group
    from lightning_factorlens.factorization import HALS as HALS
    from lightning_factorlens.factorization import L1 as L1
    from lightning_factorlens.factorization import L2 as L2
    from lightning_factorlens.factorization import GroupLasso as GroupLasso
    from lightning_factorlens.factorization import MultiplicativeUpdates as MultiplicativeUpdates
    from lightning_factorlens.factorization import factorize as factorize
    from lightning_factorlens.factorization import normalize_columns as normalize_columns
    from lightning_factorlens.factorization.parafac2 import parafac2 as parafac2
    from lightning_factorlens.factorization.refit_components import refit_components as refit_components
    from lightning_factorlens.factorization.sparsity_path import sparsity_path as sparsity_path
    from lightning_factorlens.hierarchy import VectorCache as VectorCache
    from lightning_factorlens.hierarchy import decomposition_panels as decomposition_panels
    from lightning_factorlens.hierarchy import exemplary_images as exemplary_images
    from lightning_factorlens.hierarchy import hierarchy_report as hierarchy_report
    from lightning_factorlens.hierarchy import image_hierarchy as image_hierarchy
    from lightning_factorlens.hierarchy import layer_signals as layer_signals
    from lightning_factorlens.hierarchy import leading_split as leading_split
    from lightning_factorlens.hierarchy import projection_maps as projection_maps
    from lightning_factorlens.hierarchy import seed_agreement as seed_agreement
    from lightning_factorlens.hierarchy import similarity_overlay as similarity_overlay
    from lightning_factorlens.hierarchy.class_share import class_share as class_share
    from lightning_factorlens.hierarchy.semantic_structure import semantic_structure as semantic_structure
    from lightning_factorlens.hierarchy.significance import significance as significance
    from lightning_factorlens.integrations.hugging_face import HuggingFaceCallback as HuggingFaceCallback
    from lightning_factorlens.lens import FactorLens as FactorLens
    from lightning_factorlens.loggers.frames import to_frame as to_frame
    from lightning_factorlens.loggers.json_lines import JSONLinesSink as JSONLinesSink
    from lightning_factorlens.loggers.json_lines import read_jsonl as read_jsonl
    from lightning_factorlens.loggers.json_lines import write_jsonl as write_jsonl
    from lightning_factorlens.loggers.tables import epoch_line as epoch_line
    from lightning_factorlens.loggers.tags import monitored_scalars as monitored_scalars
    from lightning_factorlens.loggers.tags import other_scalars as other_scalars
    from lightning_factorlens.measurements import ConceptQuality as ConceptQuality
    from lightning_factorlens.measurements import Consistency as Consistency
    from lightning_factorlens.measurements import Context as Context
    from lightning_factorlens.measurements import EffectiveRank as EffectiveRank
    from lightning_factorlens.measurements import FigureSpec as FigureSpec
    from lightning_factorlens.measurements import Measurement as Measurement
    from lightning_factorlens.measurements import NeuronSimilarity as NeuronSimilarity
    from lightning_factorlens.measurements import NodeHealth as NodeHealth
    from lightning_factorlens.measurements import ObservationCost as ObservationCost
    from lightning_factorlens.measurements import PerturbationConsistency as PerturbationConsistency
    from lightning_factorlens.measurements import PredictionChange as PredictionChange
    from lightning_factorlens.measurements import PredictionConfidence as PredictionConfidence
    from lightning_factorlens.measurements import RankAtError as RankAtError
    from lightning_factorlens.measurements import ReconstructionError as ReconstructionError
    from lightning_factorlens.measurements import RootMeanSquare as RootMeanSquare
    from lightning_factorlens.measurements import Scalar as Scalar
    from lightning_factorlens.measurements import SemanticHierarchy as SemanticHierarchy
    from lightning_factorlens.measurements import SVDError as SVDError
    from lightning_factorlens.measurements import UnitPictures as UnitPictures
    from lightning_factorlens.measurements import WeightSpectra as WeightSpectra
    from lightning_factorlens.measurements import default_measurements as default_measurements
    from lightning_factorlens.metrics.agreement import CosineDistance as CosineDistance
    from lightning_factorlens.metrics.confidence import confidence as confidence
    from lightning_factorlens.metrics.confidence import entropy as entropy
    from lightning_factorlens.metrics.confidence import kl_to_uniform as kl_to_uniform
    from lightning_factorlens.metrics.confidence import mutual_information as mutual_information
    from lightning_factorlens.metrics.consistency import alternating_shift as alternating_shift
    from lightning_factorlens.metrics.consistency import consistency as consistency
    from lightning_factorlens.metrics.nuclear_norm import nuclear_norm as nuclear_norm
    from lightning_factorlens.metrics.prediction_changes import mean_total_variation as mean_total_variation
    from lightning_factorlens.metrics.prediction_changes import prediction_changes as prediction_changes
    from lightning_factorlens.metrics.rankme import rankme as rankme
    from lightning_factorlens.metrics.shifts import ImageShift as ImageShift
    from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble as TemporalEnsemble
    from lightning_factorlens.report.writing import write_report as write_report
    from lightning_factorlens.results import Block as Block
    from lightning_factorlens.results import History as History
    from lightning_factorlens.results import Observation as Observation
    from lightning_factorlens.spectra import add_correlation_traps as add_correlation_traps
    from lightning_factorlens.spectra import add_goodness_of_fit as add_goodness_of_fit
    from lightning_factorlens.spectra import alpha_summary as alpha_summary
    from lightning_factorlens.spectra import bulk_edge as bulk_edge
    from lightning_factorlens.spectra import circular_singular_values as circular_singular_values
    from lightning_factorlens.spectra import compare_power_law as compare_power_law
    from lightning_factorlens.spectra import dense_operator as dense_operator
    from lightning_factorlens.spectra import fit_like_weightwatcher as fit_like_weightwatcher
    from lightning_factorlens.spectra import fit_power_law as fit_power_law
    from lightning_factorlens.spectra import spectra_frame as spectra_frame
    from lightning_factorlens.spectra import squared_singular_values as squared_singular_values
    from lightning_factorlens.spectra import unfold_weight as unfold_weight
    from lightning_factorlens.spectra.correlation_traps import correlation_traps as correlation_traps
    from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit as goodness_of_fit
    from lightning_factorlens.spectra.layer_spectra import layer_spectra as layer_spectra
    from lightning_factorlens.spectra.tensor_svd import tensor_svd as tensor_svd
    from lightning_factorlens.stopping import AfterAnnealing as AfterAnnealing
    from lightning_factorlens.stopping import AfterWarmup as AfterWarmup
    from lightning_factorlens.stopping import AllOf as AllOf
    from lightning_factorlens.stopping import AnyOf as AnyOf
    from lightning_factorlens.stopping import BestEpochBehind as BestEpochBehind
    from lightning_factorlens.stopping import Decision as Decision
    from lightning_factorlens.stopping import EpochInfo as EpochInfo
    from lightning_factorlens.stopping import GeneralizationLoss as GeneralizationLoss
    from lightning_factorlens.stopping import MannKendall as MannKendall
    from lightning_factorlens.stopping import Maximize as Maximize
    from lightning_factorlens.stopping import MinEpochs as MinEpochs
    from lightning_factorlens.stopping import OnMetric as OnMetric
    from lightning_factorlens.stopping import Patience as Patience
    from lightning_factorlens.stopping import Plateau as Plateau
    from lightning_factorlens.stopping import Rule as Rule
    from lightning_factorlens.stopping import ScheduledPatience as ScheduledPatience
    from lightning_factorlens.stopping import Smoothed as Smoothed
    from lightning_factorlens.stopping import Smoothing as Smoothing
    from lightning_factorlens.stopping import State as State
    from lightning_factorlens.stopping import annealing_rule as annealing_rule
    from lightning_factorlens.stopping import default_rule as default_rule
    from lightning_factorlens.stopping import epoch_infos as epoch_infos
    from lightning_factorlens.stopping.replay import replay as replay
    from lightning_factorlens.visualization import Adam as Adam
    from lightning_factorlens.visualization import Channel as Channel
    from lightning_factorlens.visualization import Direction as Direction
    from lightning_factorlens.visualization import Fourier as Fourier
    from lightning_factorlens.visualization import Jitter as Jitter
    from lightning_factorlens.visualization import Logit as Logit
    from lightning_factorlens.visualization import MagnitudeConstrained as MagnitudeConstrained
    from lightning_factorlens.visualization import Neuron as Neuron
    from lightning_factorlens.visualization import NormalizedAscent as NormalizedAscent
    from lightning_factorlens.visualization import Objective as Objective
    from lightning_factorlens.visualization import Optimizer as Optimizer
    from lightning_factorlens.visualization import Pad as Pad
    from lightning_factorlens.visualization import Parametrization as Parametrization
    from lightning_factorlens.visualization import Pixels as Pixels
    from lightning_factorlens.visualization import Rotate as Rotate
    from lightning_factorlens.visualization import Scale as Scale
    from lightning_factorlens.visualization import Settings as Settings
    from lightning_factorlens.visualization import SingularVector as SingularVector
    from lightning_factorlens.visualization import Term as Term
    from lightning_factorlens.visualization import Transform as Transform
    from lightning_factorlens.visualization import UnsupportedOperationError as UnsupportedOperationError
    from lightning_factorlens.visualization import WeightedSum as WeightedSum
    from lightning_factorlens.visualization.leading_vectors import leading_vectors as leading_vectors
    from lightning_factorlens.visualization.unit_spread import unit_spread as unit_spread
    from lightning_factorlens.visualization.weight_pictures import weight_pictures as weight_pictures

__version__ = "0.2.0"

_MODULES = {name: module for module, names in (PUBLIC_NAMES | OPTIONAL_NAMES).items() for name in names}
__all__ = ["__version__", *sorted(name for names in PUBLIC_NAMES.values() for name in names)]


def __getattr__(name: str) -> Any:
    if name in PUBLIC_PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    attributes = [name for name in globals() if name.startswith("__")]
    return sorted({*attributes, *_MODULES, *PUBLIC_PACKAGES})
