import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from benchmarks.hierarchy.awkward_layers import AWKWARD_LAYERS
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.hierarchy import decomposition_panels, layer_signals
from lightning_factorlens.hierarchy.layer_vectors import VectorCache
from lightning_factorlens.hierarchy.receptive_fields import receptive_fields
from lightning_factorlens.linalg.singular_vectors import singular_vectors
from lightning_factorlens.linalg.unfolding import unfold_weight


def signals_by_definition(module, inputs):
    """s_i ⟨v_i, field⟩ of every receptive field, in float64, shape (N, r, positions)."""
    (layer,) = linear_layers(copy.deepcopy(module).double())
    outputs = layer.module(inputs.double())
    grid = outputs.shape[2:] if layer.weight.stride else outputs.shape[1:-1]
    fields = receptive_fields(layer, inputs.double(), tuple(grid))
    W = unfold_weight(layer.weight.weight, groups=layer.weight.groups, transposed=layer.weight.transposed)
    channels_first = outputs if layer.weight.stride else outputs.movedim(-1, 1)
    products = (W @ fields).flatten(1, 2) + layer.bias[:, None]
    assert torch.allclose(products, channels_first.flatten(2))  # Ψ is what the layer multiplies
    vectors = singular_vectors(W)
    return torch.cat([vectors.s[g, :, None] * (vectors.Vt[g] @ fields[:, g]) for g in range(len(W))], 1)


@pytest.mark.parametrize("name", AWKWARD_LAYERS)
def test_both_routes_give_the_mean_over_all_receptive_fields(name):
    make, shape = AWKWARD_LAYERS[name]
    torch.manual_seed(0)
    module = make()
    inputs = torch.randn(5, *shape)
    expected = signals_by_definition(module, inputs)
    tolerance = 1e-5 * expected.abs().max()
    for route in ("output", "field"):
        (found,) = layer_signals(module, inputs, route=route, extrema=True).values()
        assert (found.values - expected.mean(2)).abs().max() < tolerance
        assert (found.maxima - expected.amax(2)).abs().max() < tolerance
        assert (found.minima - expected.amin(2)).abs().max() < tolerance
        assert found.values.shape[1] == len(found.s) == len(found.group)


class Odd(nn.Module):
    """Layers that are used in all the ways that a hook on a module does not see, or not at all."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.free = nn.Parameter(torch.randn(5, 4))
        self.twice = nn.Linear(5, 5)
        self.orthogonal = nn.Linear(5, 5)
        nn.init.orthogonal_(self.orthogonal.weight)
        self.normed = weight_norm(nn.Linear(5, 5))
        self.functional = nn.Conv1d(3, 3, 2)
        self.zero, self.unused, self.replaced = nn.Linear(5, 2), nn.Linear(3, 3), Standardized(5, 5)
        nn.init.zeros_(self.zero.weight)
        self.lazy, self.product = nn.LazyLinear(3), nn.Linear(5, 5)

    def forward(self, x):
        x = self.block(self.attention(x, x, x)[0])
        x = self.normed(self.orthogonal(self.twice(self.twice(F.linear(x, self.free)))))
        x = self.replaced(x) @ self.product.weight.T
        return F.conv1d(x + self.zero(x).sum(), self.functional.weight, self.functional.bias)


class Standardized(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight - self.weight.mean(), self.bias)


def test_every_layer_has_signals_or_a_reason_and_the_model_is_as_before():
    torch.manual_seed(0)
    model = Odd().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "lazy" not in name}
    x = torch.randn(7, 3, 4)
    random_state = torch.get_rng_state()
    by_output = layer_signals(model, x)
    by_field = layer_signals(model, x, route="field")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())
    assert all(module.training and not module._forward_hooks for module in model.modules())
    inner = ["linear1", "linear2", "self_attn.out_proj", "self_attn.q", "self_attn.k", "self_attn.v"]
    expected = {f"block.{name}" for name in inner} | {f"attention.{name}" for name in ("q", "k", "v", "out_proj")}
    assert set(by_output) == expected | {"free", "twice", "orthogonal", "normed", "functional"}
    for layer, found in by_output.items():
        assert torch.allclose(found.values, by_field[layer].values, atol=1e-5), layer
    assert by_output.skipped == {
        "zero": "all singular values of its weight are zero",
        "unused": "the forward pass does not use it",
        "replaced": "its forward pass applies another tensor than its weight",
        "product": "it is applied by another function than F.linear and the convolutions of torch.nn.functional",
        "lazy": "its weight has no shape yet; run one batch through the model",
    }
    with pytest.raises(KeyError, match="does not use it"):
        by_output["unused"]
    assert not by_output["orthogonal"].is_determined.any()
    assert by_output["twice"].is_determined.all()


class Adapter(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(6, 6).requires_grad_(False)
        self.down, self.up = nn.Linear(6, 1, bias=False), nn.Linear(1, 6)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


class Conv1D(nn.Module):
    """The linear layer of GPT-2."""

    def __init__(self):
        super().__init__()
        self.nf, self.weight, self.bias = 6, nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(6))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


@pytest.mark.parametrize("make", [Adapter, Conv1D])
def test_layers_that_use_other_functions_are_read_as_a_whole(make):
    torch.manual_seed(0)
    model, x = nn.Sequential(make()), torch.randn(5, 6)
    by_output, by_field = layer_signals(model, x), layer_signals(model, x, route="field")
    assert list(by_output) == ["0"] and not by_output.skipped
    assert torch.allclose(by_output["0"].values, by_field["0"].values, atol=1e-5)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return torch.cat([self.first(x[:3]), self.second(x[3:])])


def test_a_layer_that_sees_some_of_the_samples_has_a_reason():
    found = layer_signals(Experts(), torch.randn(8, 4))
    assert not found
    assert found.skipped["first"] == "it gives 3 rows for a pass of 8 samples"


def test_the_norm_within_a_subspace_does_not_depend_on_the_basis():
    model = nn.Linear(4, 4, bias=False)
    nn.init.orthogonal_(model.weight)
    x = torch.randn(6, 4)
    (found,) = layer_signals(model, x).values()
    assert torch.allclose(found.subspace_norms()[:, 0], x.norm(dim=1), atol=1e-5)


def test_passes_and_a_layer_that_is_called_twice_are_averaged_over_all_positions():
    layer = nn.Linear(3, 2)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            self.layer(x[:, :2])
            return self.layer(x[:, 2:])

    x = torch.randn(9, 5, 3)
    expected = layer_signals(layer, x, extrema=True)["Linear"]
    probe = Probe.from_batches([DrawnBatch(x[:4], 4), DrawnBatch(x[4:], 5)], size=9)
    for samples in (x, probe):
        found = layer_signals(Twice(), samples, extrema=True)["layer"]
        for name in ("values", "maxima", "minima"):
            assert torch.allclose(getattr(found, name), getattr(expected, name), atol=1e-6)


def test_half_precision_is_summed_in_float32():
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3).bfloat16()
    x = torch.rand(3, 3, 40, 40).bfloat16()
    (found,) = layer_signals(model, x).values()
    exact = signals_by_definition(model, x).mean(2)
    assert found.values.dtype == torch.float32
    assert (found.values - exact).abs().max() < 1e-3 * exact.abs().max()


def test_singular_vectors_are_computed_again_only_where_a_weight_has_changed():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    cache = VectorCache()
    layer_signals(model, torch.rand(2, 3), cache=cache)
    first, second = [cache.vectors(layer) for layer in linear_layers(model)]
    model[1].weight.data.mul_(2)  # changes neither the address nor the version
    layer_signals(model, torch.rand(2, 3), cache=cache)
    assert cache.vectors(linear_layers(model)[0]) is first
    assert torch.allclose(cache.vectors(linear_layers(model)[1]).s, 2 * second.s)


def test_unknown_layers_and_routes_are_refused():
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="the linear layers of this model are '0'"):
        layer_signals(model, torch.rand(2, 3), layers=["fc"])
    with pytest.raises(ValueError, match="route"):
        layer_signals(model, torch.rand(2, 3), route="unfold")


class Functional(nn.Module):
    """A network whose weights are parameters that functions are called with."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 1, 3, 3))
        self.matrix = nn.Parameter(torch.randn(3, 144))
        self.spare = nn.Parameter(torch.randn(3, 3))

    def forward(self, x):
        return F.linear(F.conv2d(x, self.kernel).flatten(1), self.matrix)


def test_parameters_that_functions_receive_are_found_by_their_names():
    model = Functional()
    probe = torch.rand(6, 1, 8, 8)
    assert list(layer_signals(model, probe)) == ["kernel", "matrix"]
    assert list(layer_signals(model, probe, "kernel")) == ["kernel"]
    assert "receives it" in layer_signals(model, probe, ["kernel", "spare"]).skipped["spare"]
    assert decomposition_panels(model, probe, "kernel").signals.shape == (4, 6, 6)
    with pytest.raises(ValueError, match="^layer: 'spare' has no signals: .*receives it"):
        decomposition_panels(model, probe, "spare")
    with pytest.raises(ValueError, match="^layers: found 'wrong'; .*'kernel', 'matrix', 'spare'"):
        layer_signals(model, probe, "wrong")
    with pytest.raises(ValueError, match="^layers: must be the name"):
        layer_signals(model, probe, 3)


def test_weights_without_values_have_a_reason_in_place_of_signals():
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    meta = nn.Sequential(nn.Linear(8, 3)).to("meta")
    for model, device, name, reason in ((lazy, "cpu", "1", "no shape yet"), (meta, "meta", "0", "meta device")):
        found = layer_signals(model, torch.rand(4, 8, device=device))
        assert not found
        assert reason in found.skipped[name]
