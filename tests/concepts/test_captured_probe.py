"""Fits of one captured probe: from earlier concepts, from random values, and with samples of another kind."""

from dataclasses import replace

import pytest
import torch
from made_concepts import lowest_cosine, planted
from small_lens import make_net, make_probe, train_a_little
from torch import nn
from torch.nn.functional import normalize

from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import match_concepts
from lightning_factorlens.concepts.late_fit import fit_late


def test_a_start_keeps_the_numbers_of_the_concepts_through_training():
    net, probe = make_net(), make_probe(32)
    lens = FactorLens(net)
    first = lens.concepts(probe, rank=4)
    order = torch.tensor([2, 0, 3, 1])
    start = replace(first, F=first.F[order])
    again = lens.concepts(probe, rank=4, start=start)
    assert match_concepts(start, again).other.tolist() == [0, 1, 2, 3]
    assert float(match_concepts(start, again).cosine.min()) > 0.98
    train_a_little(net, 0)
    later = lens.concepts(probe, rank=4, start=again)
    matches = match_concepts(again, later)
    assert matches.other.tolist() == [0, 1, 2, 3]
    assert 0.5 < float(matches.cosine.min()) < 0.999
    assert not torch.equal(lens.concepts(probe, rank=4, seed=3).F, first.F)


def test_a_start_keeps_the_numbers_where_the_fit_has_to_start_anew():
    F, pixels, layers = planted()
    start = F[[3, 1, 0, 2]] + 0.5 * torch.rand(F.shape, generator=torch.Generator().manual_seed(0))
    concepts = fit_late(layers, 4, inputs=pixels, start=start)
    cosine = normalize(concepts.F, dim=1) @ normalize(F[[3, 1, 0, 2]], dim=1).T
    assert float(cosine.diagonal().min()) > 0.99


def test_random_starts_differ_from_each_other_and_find_planted_factors():
    F, pixels, layers = planted()
    fits = [fit_late(layers, 4, inputs=pixels, start="random", seed=seed) for seed in (1, 2)]
    assert not torch.equal(fits[0].F, fits[1].F)
    assert min(lowest_cosine(fit.F, F) for fit in fits) > 0.99
    with pytest.raises(ValueError, match="^start: found 'rand', allowed are 'random'"):
        fit_late(layers, 4, inputs=pixels, start="rand")


def test_a_start_of_another_probe_or_rank_is_refused():
    lens = FactorLens(make_net())
    first = lens.concepts(make_probe(16), rank=3)
    with pytest.raises(ValueError, match="^start: its concepts are those of other samples than the probe's"):
        lens.concepts(make_probe(16) * 0.5, rank=3, start=first)
    with pytest.raises(ValueError, match="^start: found 3 concepts where rank=4 are asked for; pass rank=3"):
        lens.concepts(make_probe(16), rank=4, start=first)
    with pytest.raises(
        ValueError, match="^start: must be of type Concepts, found str; pass earlier concepts .* 'random'"
    ):
        lens.concepts(make_probe(16), rank=3, start="radnom")


def test_a_probe_of_another_data_set_than_the_trainings_works():
    """Images of another size too, where the network takes them."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(48, 5),
    )
    lens = FactorLens(net, outputs="classes")
    own = lens.concepts(torch.rand(30, 1, 12, 12), rank=3)
    other = lens.concepts((torch.rand(20, 1, 12, 12) > 0.5).float(), rank=3)
    assert (own.F.shape, other.F.shape) == ((3, 30), (3, 20))
    assert match_concepts(own, other).by == "W"
    larger = lens.concepts(torch.rand(20, 1, 16, 16), rank=3)
    assert larger["input/0"].shape == (16, 16)
    assert larger.rel_error < 1
    assert torch.equal(lens.concepts(own.inputs, rank=3).F, own.F)


def test_a_seed_is_a_whole_number():
    with pytest.raises(ValueError, match="^seed: must be a whole number ≥ 0"):
        FactorLens(make_net()).concepts(make_probe(16), rank=2, seed=1.5)
