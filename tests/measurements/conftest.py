"""One observation by all measurements of the factorisation, and what they read."""

import pytest
from small_lens import lens_with, make_probe

from lightning_factorlens.measurements import (
    EffectiveRank,
    Measurement,
    NeuronSimilarity,
    RankAtError,
    ReconstructionError,
    RootMeanSquare,
    SVDError,
)
from lightning_factorlens.metrics.rank_curve import BlockGroups

THRESHOLDS = (0.6, 0.25)


class KeepContext(Measurement):
    """Keeps the problem and the factorisation that the other measurements read."""

    name = "keep_context"
    needs = frozenset({"factorization"})

    def measure(self, context):
        self.problem = context.problem
        self.factorization = context.factorization


@pytest.fixture(scope="module")
def measured():
    """The observation, the groups of blocks, and the factorisation."""
    keep = KeepContext()
    lens = lens_with(
        RankAtError(THRESHOLDS),
        EffectiveRank(),
        ReconstructionError(),
        SVDError(),
        RootMeanSquare(),
        NeuronSimilarity(),
        keep,
    )
    return lens.observe(make_probe()), BlockGroups(keep.problem), keep.factorization
