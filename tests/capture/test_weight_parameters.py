"""Weights of recurrent, bilinear, GPT-2, expert and users' own layers."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lightning_factorlens.capture.weights import weight_layers


class Conv1D(nn.Module):
    """A stand-in for ``transformers.pytorch_utils.Conv1D``."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))


class Experts(nn.Module):
    """Expert weights as one parameter each, as in Mixtral and GPT-OSS."""

    def __init__(self):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(4, 12, 30))
        self.gate_up_proj_bias = nn.Parameter(torch.randn(4, 30, 2))
        self.down_proj = nn.Parameter(torch.randn(4, 15, 12))


class NoWeights(nn.Module):
    """Parameters with two and three axes that are no weights."""

    def __init__(self):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.randn(1, 9, 8))
        self.position_embedding_table = nn.Parameter(torch.randn(2, 9, 8))
        self.class_token = nn.Parameter(torch.randn(1, 1, 8))
        self.query_tokens = nn.Parameter(torch.randn(2, 4, 8))
        self.layer_scale = nn.Parameter(torch.randn(8, 1, 1))
        self.table = nn.Parameter(torch.randn(9, 8))


class OwnLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 5))


def shapes(module):
    return {layer.name: tuple(layer.weight.shape) for layer in weight_layers(nn.ModuleDict({"a": module}))}


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_every_matrix_of_a_recurrent_layer_has_a_row(kind, gates):
    expected = {}
    for layer, width in ((0, 5), (1, 14)):
        for direction in ("", "_reverse"):
            expected[f"a.weight_ih_l{layer}{direction}"] = (7 * gates, width)
            expected[f"a.weight_hh_l{layer}{direction}"] = (7 * gates, 7)
    assert shapes(kind(5, 7, num_layers=2, bidirectional=True)) == expected


def test_cells_and_projections_have_rows():
    assert shapes(nn.GRUCell(5, 7)) == {"a.weight_ih": (21, 5), "a.weight_hh": (21, 7)}
    assert shapes(nn.LSTM(5, 7, proj_size=3))["a.weight_hr_l0"] == (3, 7)


def test_a_bilinear_layer_is_a_map_from_products_of_its_inputs():
    layer = nn.Bilinear(3, 4, 5)
    (found,) = weight_layers(layer)
    x, y = torch.randn(3), torch.randn(4)
    torch.testing.assert_close(
        found.weight @ torch.outer(x, y).flatten(), layer(x, y) - layer.bias, rtol=1e-4, atol=1e-5
    )


def test_the_weight_of_gpt2_is_transposed():
    layer = Conv1D(nf=9, nx=4)
    (found,) = weight_layers(layer)
    assert (found.op, tuple(found.weight.shape)) == ("Conv1D", (9, 4))
    assert torch.equal(found.weight, layer.weight.T)


def test_the_conv1d_of_transformers_is_recognised():
    utils = pytest.importorskip("transformers.pytorch_utils")
    assert shapes(utils.Conv1D(9, 4)) == {"a": (9, 4)}


def test_experts_are_stacks_and_embeddings_are_not():
    layers = weight_layers(nn.ModuleDict({"experts": Experts(), "other": NoWeights(), "own": OwnLinear()}))
    found = {layer.name: (tuple(layer.weight.shape), layer.is_stack) for layer in layers}
    assert found == {
        "experts.gate_up_proj": ((4, 12, 30), True),
        "experts.down_proj": ((4, 15, 12), True),
        "own": ((6, 5), False),
    }


def test_other_layers_of_torch_have_no_rows():
    modules = [nn.LayerNorm([3, 4, 5]), nn.Embedding(9, 8), nn.PReLU(4), nn.BatchNorm1d(3), nn.ParameterList()]
    assert weight_layers(nn.ModuleList(modules)) == []


def test_shared_weights_are_listed_once():
    first, second = nn.LSTM(5, 7), nn.LSTM(5, 7)
    second.weight_ih_l0 = first.weight_ih_l0
    names = [layer.name for layer in weight_layers(nn.ModuleList([first, second]))]
    assert names == ["0.weight_ih_l0", "0.weight_hh_l0", "1.weight_hh_l0"]


@pytest.mark.parametrize("make", [lambda: nn.LSTM(5, 7), OwnLinear], ids=["LSTM", "own"])
def test_parametrized_weights_are_read_and_not_changed(make):
    module = make()
    name = "weight_ih_l0" if isinstance(module, nn.LSTM) else "weight"
    parametrizations.spectral_norm(module, name)
    module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    layers = weight_layers(module)
    after = module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    largest = torch.linalg.matrix_norm(layers[0].weight, 2)
    module.eval()
    assert float(largest) == pytest.approx(float(torch.linalg.matrix_norm(getattr(module, name).detach(), 2)))


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_weights_are_read_with_their_zeros(layout):
    layer = nn.Linear(6, 5)
    dense = layer.weight.detach().clone() * (torch.rand(5, 6) < 0.4)
    layer.weight = nn.Parameter(getattr(dense, layout)(), requires_grad=False)
    (found,) = weight_layers(layer)
    assert torch.equal(found.weight, dense)
