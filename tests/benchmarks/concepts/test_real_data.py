"""What the parts on real data compute has known answers on planted data."""

import math

import pytest
import torch
from torch import nn

from benchmarks.concepts.baselines import concordance, sample_factors, strongest, top_purity
from benchmarks.concepts.cases import Case, captured_layers
from benchmarks.concepts.masks import MASKS, confidences, pixels_off_half, sparse_concepts
from benchmarks.concepts.other_probe import as_colour
from benchmarks.concepts.spread import Spread
from benchmarks.concepts.utilisation import response_distances
from lightning_factorlens import FactorLens
from lightning_factorlens.results import Block


def test_a_spread_has_mean_lowest_and_highest():
    spread = Spread()
    spread.add({"a_x": 1.0})
    spread.add({"a_x": 3.0})
    assert (spread.mean("a_x"), spread.lowest("a_x"), spread.highest("a_x")) == (2, 1, 3)
    assert spread.table("row", {"x": "X", "y": "Y"}, {"a": "A"}).splitlines()[-1] == "| A | 2.00 (1.00 to 3.00) | – |"


def test_concordance_is_one_where_only_ties_hinder_a_rank_correlation():
    purity = torch.tensor([1.0, 1.0, 1.0, 0.5, torch.nan])
    assert concordance(torch.tensor([0.9, 0.8, 0.7, 0.6, 0.1]), purity) == 1
    assert concordance(torch.tensor([0.6, 0.8, 0.7, 0.6, 0.1]), purity) == pytest.approx(5 / 6)
    assert math.isnan(concordance(torch.ones(3), torch.ones(3)))


def test_the_factors_of_a_single_layer_find_planted_groups():
    labels = torch.arange(60) % 3
    block = Block("relu", "activation", torch.eye(3)[labels] + 0.01, (3,))
    assert top_purity(strongest(sample_factors([block], [3])[0]), labels) == 1


def test_masks_of_sparse_inputs_keep_exactly_half():
    assert [pixels_off_half(concepts) for concepts in sparse_concepts()] == [0] * 12


def small_case():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.rand(40, 1, 4, 4)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))
    return Case(model, model, images, torch.arange(40) % 3, 0, 0.0)


def test_the_whole_image_has_its_own_prediction():
    case = small_case()
    concepts = FactorLens(case.model, outputs="classes").concepts(case.images, rank=2)
    found = confidences(case.model, concepts, torch.zeros(1, 4, 4), seed=0)
    assert list(found) == list(MASKS)
    assert found["whole"][1] == 1
    assert all(0 <= value <= 1 for pair in found.values() for value in pair)


def test_the_responses_are_measured_on_the_captured_neurons():
    case = small_case()
    distances = response_distances(case, captured_layers(case.model, case.images), "all")
    assert [tuple(distance.shape) for distance in distances] == [(3,), (3,)]
    assert all(float(distance.max()) < 0.3 for distance in distances)


def test_digits_become_colour_images_with_a_border():
    colour = as_colour(torch.ones(2, 1, 28, 28))
    assert colour.shape == (2, 3, 32, 32)
    assert float(colour.sum()) == 2 * 3 * 28 * 28
