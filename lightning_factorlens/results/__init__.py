"""The records that cross rooms: what a thing is and its shape. This room computes nothing."""

from lightning_factorlens.results.curves import RankCurve, RequiredRank
from lightning_factorlens.results.factorization import Block, BlockKind, Factorization
from lightning_factorlens.results.layers import LayerInfo, LayerSimilarity
from lightning_factorlens.results.observation import Observation, render
from lightning_factorlens.results.spectra import AlphaSummary, LayerSpectrum, PowerLawFit

__all__ = [
    "AlphaSummary",
    "Block",
    "BlockKind",
    "Factorization",
    "LayerInfo",
    "LayerSimilarity",
    "LayerSpectrum",
    "Observation",
    "PowerLawFit",
    "RankCurve",
    "RequiredRank",
    "render",
]
