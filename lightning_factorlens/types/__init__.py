"""The records that cross rooms: what a thing is and its shape. This room computes nothing."""

from lightning_factorlens.types.curves import RankCurve, RequiredRank
from lightning_factorlens.types.factorization import Block, BlockKind, Factorization
from lightning_factorlens.types.layers import LayerChoice, LayerSimilarity
from lightning_factorlens.types.observation import Observation, shown
from lightning_factorlens.types.spectra import AlphaSummary, LayerSpectrum, PowerLawFit

__all__ = [
    "AlphaSummary",
    "Block",
    "BlockKind",
    "Factorization",
    "LayerChoice",
    "LayerSimilarity",
    "LayerSpectrum",
    "Observation",
    "PowerLawFit",
    "RankCurve",
    "RequiredRank",
    "shown",
]
