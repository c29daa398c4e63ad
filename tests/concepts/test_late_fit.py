"""Concepts of planted factors and of small models, in ordinary and in edge cases."""

import math

import pytest
import torch
from made_concepts import lowest_cosine, planted
from small_lens import make_net, make_probe
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.concepts.blocks import concept_blocks
from lightning_factorlens.concepts.late_fit import choose_blocks, fit_late
from lightning_factorlens.factorization import factorize


def test_the_last_two_layers_decide_and_all_other_blocks_are_joined():
    F, pixels, layers = planted()
    concepts = fit_late(concept_blocks(pixels, layers), 4, inputs=pixels)
    assert lowest_cosine(concepts.F, F) > 0.99
    assert [block.is_fitted for block in concepts.blocks] == [False, False, True, True]
    assert concepts["relu1"].rel_error < 0.05
    everything = fit_late(concept_blocks(pixels, layers), 4, "all", inputs=pixels)
    assert all(block.is_fitted for block in everything.blocks)
    assert lowest_cosine(everything.F, F) < 0.9
    assert everything["input/0"].rel_error < concepts["input/0"].rel_error
    assert "fitted on relu1, relu2, 2 blocks joined" in repr(concepts)


def test_the_factor_of_every_block_is_not_worse_than_the_fits_own():
    _, pixels, layers = planted()
    concepts = fit_late(concept_blocks(pixels, layers), 4, inputs=pixels)
    fitted = factorize(layers[1:], [4])
    torch.testing.assert_close(concepts.F, fitted.F[0])
    for sse, layer in zip(fitted.sse[0], layers[1:]):
        assert concepts[layer.name].rel_error <= math.sqrt(sse) / float(layer.samples.norm()) + 1e-6


def test_the_total_error_is_that_of_the_stacked_normalised_blocks():
    _, pixels, layers = planted()
    concepts = fit_late(concept_blocks(pixels, layers), 4, inputs=pixels)
    stacked = []
    residuals = []
    for block, found in zip(concept_blocks(pixels, layers), concepts.blocks):
        X = block.samples.double() / block.samples.double().norm()
        stacked.append(X)
        residuals.append(X - concepts.F.T.double() @ found.W.T / block.samples.double().norm())
    expected = float(torch.cat(residuals, 1).norm() / torch.cat(stacked, 1).norm())
    assert concepts.rel_error == pytest.approx(expected, rel=1e-6)


def test_names_choose_the_blocks():
    _, pixels, layers = planted()
    concepts = fit_late(concept_blocks(pixels, layers), 2, ["relu0", "input/0"], inputs=pixels)
    assert [block.name for block in concepts.blocks if block.is_fitted] == ["input/0", "relu0"]
    assert concepts.fit_on == ("relu0", "input/0")
    assert [block.name for block in choose_blocks(layers, "relu1")] == ["relu1"]


@pytest.mark.parametrize("fit_on", ["early", [], ["relu0", "relu9"], ["late", "relu0"], None, 3])
def test_unknown_names_are_refused_with_the_names_that_exist(fit_on):
    _, pixels, layers = planted()
    with pytest.raises(ValueError, match=r"fit_on: found .* allowed are 'late' or 'all' alone, .*'relu2'"):
        fit_late(concept_blocks(pixels, layers), 2, fit_on, inputs=pixels)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_samples(n):
    concepts = FactorLens(make_net(), outputs="classes").concepts(make_probe(n), rank=n)
    assert concepts.F.shape == (n, n)
    assert concepts.predictions.shape == (n,)


@pytest.mark.parametrize("rank", [0, 2.0, True, 17])
def test_a_rank_out_of_range_is_refused(rank):
    with pytest.raises(ValueError, match="^rank: "):
        FactorLens(make_net()).concepts(make_probe(16), rank=rank)


def test_nan_is_named():
    net = make_net()
    lens = FactorLens(net)
    lens.select_layers(make_probe(16))
    with torch.no_grad():
        net.hidden.bias[3] = math.nan
    with pytest.raises(ValueError, match=r"probe: 16 of 1024 values of block 'act' .*, or leave the layer out"):
        lens.concepts(make_probe(16), rank=2)
    probe = make_probe(16)
    probe[2, 0, 3, 3] = math.inf
    with pytest.raises(ValueError, match=r"probe: 1 of 1024 values of block 'input/0' .*cause them\.$"):
        FactorLens(make_net()).concepts(probe, rank=2)


@pytest.mark.parametrize("broken", [slice(3, 4), slice(None)], ids=["one neuron", "all neurons"])
@pytest.mark.parametrize("call", ["concepts", "observe"])
def test_a_layer_that_is_nan_from_the_beginning_is_named(call, broken):
    net = make_net()
    with torch.no_grad():
        net.hidden.bias[broken] = math.nan
    lens = FactorLens(net, LensOptions(ranks=(2,)))
    with pytest.raises(ValueError, match=r"block 'act' .*NaN or infinite|of block 'act' are NaN or infinite"):
        lens.concepts(make_probe(16), rank=2) if call == "concepts" else lens.observe(make_probe(16))
    assert [layer.name for layer in lens.layer_table if layer.selected] == ["relu", "act"]


def test_dead_layers_are_left_out_of_the_fit():
    net = make_net()
    with torch.no_grad():
        net.hidden.weight.zero_()
        net.hidden.bias.fill_(-1)
    concepts = FactorLens(net).concepts(make_probe(16), rank=3)
    assert [block.is_fitted for block in concepts.blocks] == [False, True, False]
    assert math.isnan(concepts["act"].rel_error)
    assert not concepts["act"].W.any()
    assert concepts.rel_error > 0
    assert concepts.features.shape == (16, 6)  # the channels of the convolution
    with torch.no_grad():
        net.conv.weight.zero_()
        net.conv.bias.fill_(-1)
    with pytest.raises(ValueError, match="fit_on: 'late' needs a layer with values other than 0"):
        FactorLens(net).concepts(make_probe(16), rank=3)
    assert FactorLens(net).concepts(make_probe(16), rank=3, fit_on="all")["input/0"].rel_error < 1


def test_the_model_and_the_probe_are_left_as_found(passes):
    net = make_net().train()
    probe = make_probe(20)
    images = probe.clone()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    random_state = torch.get_rng_state()
    lens = FactorLens(net, outputs="classes")
    lens.select_layers(probe)
    passes.clear()
    lens.concepts(probe, rank=3)
    assert sum(passes) == 20
    assert net.training
    assert torch.equal(probe, images)
    assert torch.equal(random_state, torch.get_rng_state())
    for name, value in net.state_dict().items():
        assert torch.equal(value, weights[name])
    assert not any(module._forward_hooks for module in net.modules())
    assert lens.state.warm_start.F is None


def test_inputs_that_are_no_images():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(7, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 2))
    concepts = FactorLens(net).concepts(torch.randn(20, 7), rank=3)
    assert [block.name for block in concepts.blocks] == ["input/0", "1", "3"]
    assert concepts.predictions is None


def test_several_channels_and_a_feature_budget():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 20), nn.ReLU(), nn.Linear(20, 4))
    lens = FactorLens(net, LensOptions(max_neurons_per_layer=50), outputs="classes")
    concepts = lens.concepts(torch.rand(18, 3, 8, 8), rank=3)
    assert [tuple(block.W.shape) for block in concepts.blocks] == [(64, 3)] * 3 + [(50, 3), (20, 3)]
    assert [block.name for block in concepts.input_blocks()] == ["input/0", "input/1", "input/2"]
    assert [block.name for block in concepts.layers()] == ["1", "4"]
    with pytest.raises(KeyError, match="no block '2'"):
        concepts["2"]


def test_signed_policies():
    lens = FactorLens(make_net(), LensOptions(input_sign_policy="split", activation_sign_policy="semi"))
    concepts = lens.concepts(make_probe(16) - 0.5, rank=3)
    assert [block.name for block in concepts.input_blocks()] == ["input/0/pos", "input/0/neg"]


def test_several_processes_are_refused():
    class Group(type(FactorLens(make_net()).process_group)):
        world_size = 2

    lens = FactorLens(make_net(), process_group=Group())
    lens.process_group.world_size = 2
    with pytest.raises(ValueError, match="process_group: concepts are found by one process"):
        lens.concepts(make_probe(16), rank=2)
