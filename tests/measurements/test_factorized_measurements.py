"""Measurements of the factorisation against the functions that compute them."""

import math

import pytest
import torch
from small_lens import lens_with, make_probe

from lightning_factorlens.capture.activations import input_blocks
from lightning_factorlens.concepts.similarity import layer_similarities
from lightning_factorlens.factorization import CoupledProblem
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
from lightning_factorlens.metrics.required_rank import required_rank

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


def test_the_problem_holds_inputs_and_activations(measured):
    observation, groups, _ = measured
    assert isinstance(groups.problem, CoupledProblem)
    assert [block.name for block in groups.problem.blocks] == ["input/0", "relu", "act"]
    (inputs,) = input_blocks(make_probe())
    assert torch.equal(groups.problem.blocks[0].samples, inputs.samples)
    assert observation["reconstruction_error"].curves.keys() == groups.members.keys()


def test_errors_and_their_lower_bounds(measured):
    observation, groups, factorization = measured
    curves = groups.curves(factorization)
    assert observation["reconstruction_error"].curves == curves
    assert observation["svd_error"].curves == groups.svd_curves(curves)
    assert {value.quantity for value in observation["svd_error"].values()} == {
        "svd_rmse",
        "svd_rel_error",
        "svd_rel_sq_error",
    }


def test_ranks(measured):
    observation, groups, factorization = measured
    curve = groups.curves(factorization)["total"]
    assert observation["required_rank"].ranks == tuple(required_rank(curve, tau) for tau in THRESHOLDS)
    assert observation["effective_rank"].by_scope == groups.effective_ranks()
    assert observation.value("rank_at_25pct", "total") == required_rank(curve, 0.25).rank


def test_root_mean_squares(measured):
    observation, groups, _ = measured
    assert observation["rms"].by_scope == groups.rms()
    assert observation["rms"]["input/0"] == pytest.approx(math.sqrt(float(make_probe().double().square().mean())))


def test_similarities(measured):
    observation, _, factorization = measured
    expected = layer_similarities(factorization)
    found = observation["neuron_similarity"].layers
    assert [similarity.layer for similarity in found] == ["relu", "act"]
    for a, b in zip(found, expected):
        assert torch.equal(a.cosine, b.cosine)
        assert (a.mean_cosine, a.mean_top_k, a.k) == (b.mean_cosine, b.mean_top_k, b.k)


@pytest.mark.parametrize("thresholds", [0.3, "0.3", (1.5,), (0.0,), (1,), [0.3, None]])
def test_wrong_thresholds_are_named(thresholds):
    with pytest.raises(ValueError, match="thresholds: must be a list of relative errors between 0 and 1, found"):
        RankAtError(thresholds)


def test_every_threshold_has_tags_of_its_own():
    tags = [scalar.tag for scalar in RankAtError((0.5, 0.125)).scalars]
    assert tags == [
        "{prefix}/rank_at_50pct",
        "{prefix}/rank_at_50pct_is_lower_bound",
        "{prefix}/rank_at_12p5pct",
        "{prefix}/rank_at_12p5pct_is_lower_bound",
    ]
