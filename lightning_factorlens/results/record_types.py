"""The record classes that files name, and the fields of them that files leave out."""

from __future__ import annotations

from lightning_factorlens.results.class_structure import ClassShare, SemanticStructure
from lightning_factorlens.results.concept_page import ConceptRecord
from lightning_factorlens.results.cost import Cost
from lightning_factorlens.results.curves import RankCurves, RequiredRanks
from lightning_factorlens.results.feature_visualization import UnitPicturesRecord
from lightning_factorlens.results.hierarchy import HierarchyRecord
from lightning_factorlens.results.hierarchy_evidence import (
    HierarchyStability,
    NullSizes,
    SeedAgreement,
)
from lightning_factorlens.results.hierarchy_report import HierarchyReport
from lightning_factorlens.results.layer_hierarchies import LayerHierarchies
from lightning_factorlens.results.layer_spectra import LayerSpectra
from lightning_factorlens.results.layers import LayerSimilarities, LayerSimilarity
from lightning_factorlens.results.record import Record, Scalars, ScopedScalar

#: Types that a JSON line names, by their names.
RECORD_TYPES: dict[str, type[Record]] = {
    "ClassShare": ClassShare,
    "ConceptRecord": ConceptRecord,
    "Cost": Cost,
    "HierarchyRecord": HierarchyRecord,
    "HierarchyReport": HierarchyReport,
    "HierarchyStability": HierarchyStability,
    "LayerHierarchies": LayerHierarchies,
    "LayerSimilarities": LayerSimilarities,
    "LayerSpectra": LayerSpectra,
    "NullSizes": NullSizes,
    "RankCurves": RankCurves,
    "RequiredRanks": RequiredRanks,
    "Scalars": Scalars,
    "ScopedScalar": ScopedScalar,
    "SeedAgreement": SeedAgreement,
    "SemanticStructure": SemanticStructure,
    "UnitPicturesRecord": UnitPicturesRecord,
}
#: Fields that are left out.
EXCLUDED_FIELDS: dict[type, tuple[str, ...]] = {
    LayerSimilarity: ("cosine",),
    ConceptRecord: ("page",),
    UnitPicturesRecord: ("found",),
    LayerHierarchies: ("diagram",),
}
#: The fields of these that `pictures_to_json` keeps.
PICTURE_FIELDS: dict[type, str] = {
    ConceptRecord: "page",
    UnitPicturesRecord: "found",
    LayerHierarchies: "diagram",
}
