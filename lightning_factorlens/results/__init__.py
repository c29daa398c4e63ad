"""The records that pass from one package to another. No mathematics."""

from lightning_factorlens.results.class_structure import ClassShare, SemanticStructure
from lightning_factorlens.results.concept_page import (
    ConceptCard,
    ConceptPage,
    ConceptPictures,
    ConceptRecord,
    LayerPanel,
)
from lightning_factorlens.results.concept_timeline import ConceptChanges, ConceptEvent, ConceptTimeline
from lightning_factorlens.results.concepts import ConceptBlock, Concepts
from lightning_factorlens.results.cost import Cost
from lightning_factorlens.results.curves import RankCurve, RankCurves, RequiredRank, RequiredRanks, required_rank_name
from lightning_factorlens.results.factorization import Block, BlockKind, Factorization
from lightning_factorlens.results.feature_visualization import FeatureVisualization, UnitPicturesRecord
from lightning_factorlens.results.hierarchy import HierarchyRecord, HierarchySizes, VectorClass
from lightning_factorlens.results.hierarchy_evidence import (
    HierarchyStability,
    NullSizes,
    SeedAgreement,
)
from lightning_factorlens.results.hierarchy_report import HierarchyReport
from lightning_factorlens.results.history import History
from lightning_factorlens.results.layer_hierarchies import LayerHierarchies, LayerHierarchy
from lightning_factorlens.results.layer_spectra import LayerSpectra, SkippedWeights
from lightning_factorlens.results.layers import LayerInfo, LayerSimilarities, LayerSimilarity
from lightning_factorlens.results.node_health import LayerHealth, NodeHealthResult
from lightning_factorlens.results.node_importance import LayerImportance, NodeImportance
from lightning_factorlens.results.observation import Observation
from lightning_factorlens.results.panels import Exemplars, LayerDecomposition, ProjectionMaps, SimilarityOverlay
from lightning_factorlens.results.parafac2 import Parafac2Factorization
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Scalars, ScopedScalar, Value
from lightning_factorlens.results.setup import Setup
from lightning_factorlens.results.signals import ProbeSignals, Signals
from lightning_factorlens.results.sparsity import SparsityPath
from lightning_factorlens.results.spectra import AlphaSummary, LayerExponent, LayerSpectrum, PowerLawFit
from lightning_factorlens.results.stopping_decision import HandedOver, StoppingDecision
from lightning_factorlens.results.tcav import TCAVResult
from lightning_factorlens.results.unit_pictures import FeatureMaps, WeightPictures
from lightning_factorlens.results.unit_projections import UnitProjections
from lightning_factorlens.results.unit_spread import LayerSpread, UnitSpread

__all__ = [
    "AlphaSummary",
    "Block",
    "BlockKind",
    "ClassShare",
    "ConceptBlock",
    "ConceptCard",
    "ConceptChanges",
    "ConceptEvent",
    "ConceptPage",
    "ConceptPictures",
    "ConceptRecord",
    "ConceptTimeline",
    "Concepts",
    "Cost",
    "Exemplars",
    "Factorization",
    "FeatureMaps",
    "FeatureVisualization",
    "HandedOver",
    "HierarchyRecord",
    "HierarchyReport",
    "HierarchySizes",
    "HierarchyStability",
    "History",
    "LayerDecomposition",
    "LayerExponent",
    "LayerHealth",
    "LayerHierarchies",
    "LayerHierarchy",
    "LayerImportance",
    "LayerInfo",
    "LayerPanel",
    "LayerSimilarities",
    "LayerSimilarity",
    "LayerSpectra",
    "LayerSpectrum",
    "LayerSpread",
    "NodeHealthResult",
    "NodeImportance",
    "NullSizes",
    "Observation",
    "Parafac2Factorization",
    "Plottable",
    "PowerLawFit",
    "ProbeSignals",
    "ProjectionMaps",
    "RankCurve",
    "RankCurves",
    "Record",
    "RequiredRank",
    "RequiredRanks",
    "Scalars",
    "ScopedScalar",
    "SeedAgreement",
    "SemanticStructure",
    "Setup",
    "Signals",
    "SimilarityOverlay",
    "SkippedWeights",
    "SparsityPath",
    "StoppingDecision",
    "TCAVResult",
    "UnitPicturesRecord",
    "UnitProjections",
    "UnitSpread",
    "Value",
    "VectorClass",
    "WeightPictures",
    "required_rank_name",
]
