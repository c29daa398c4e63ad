"""The default measurements of a lens."""

from __future__ import annotations

from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.consistency import Consistency
from lightning_factorlens.measurements.effective_rank import EffectiveRank
from lightning_factorlens.measurements.neuron_similarity import NeuronSimilarity
from lightning_factorlens.measurements.rank_at_error import RankAtError
from lightning_factorlens.measurements.reconstruction_error import ReconstructionError
from lightning_factorlens.measurements.root_mean_square import RootMeanSquare
from lightning_factorlens.measurements.svd_error import SVDError
from lightning_factorlens.measurements.weight_spectra import WeightSpectra


def default_measurements() -> list[Measurement]:
    """Returns the default measurements.

    Returns:
        A new list, to which own measurements can be added; its order is that of charts, figures and tables.

    Example:
        >>> [measurement.name for measurement in default_measurements()]  # doctest: +NORMALIZE_WHITESPACE
        ['consistency', 'required_rank', 'effective_rank', 'reconstruction_error', 'svd_error', 'rms',
         'neuron_similarity', 'weight_spectra']
    """
    return [
        Consistency(),
        RankAtError(),
        EffectiveRank(),
        ReconstructionError(),
        SVDError(),
        RootMeanSquare(),
        NeuronSimilarity(),
        WeightSpectra(),
    ]
