import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lightning_factorlens.capture.linear_layers import find_linear_layers, linear_layers


def test_the_padding_of_every_kind_is_resolved_per_axis_and_side():
    model = nn.Sequential(
        nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2), padding_mode="reflect"),
        nn.Conv1d(4, 4, 3, padding=2, groups=2),
        nn.Conv3d(4, 4, 2, padding="valid", bias=False),
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
        weight_norm(nn.Linear(6, 2)),
    )
    layers = linear_layers(model)
    assert [layer.padding for layer in layers] == [((1, 2), (2, 2)), ((2, 2),), ((0, 0),) * 3, ((1, 1),) * 2, ()]
    assert [layer.padding_mode for layer in layers[:2]] == ["reflect", "zeros"]
    assert [layer.channel_axis for layer in layers] == [1, 1, 1, 1, -1]
    assert layers[3].output_padding == (1, 1)
    assert layers[2].bias is None
    assert torch.equal(layers[4].bias, model[4].bias)
    assert all(layer.module is model.get_submodule(layer.path) for layer in layers)


def test_every_weight_without_a_map_of_its_own_has_its_reason():
    shared = nn.Linear(3, 3)
    tied = nn.Linear(3, 3)
    tied.weight = shared.weight
    model = nn.ModuleDict({"lazy": nn.LazyConv2d(4, 3), "empty": nn.Linear(3, 2, device="meta")})
    model["shared"], model["tied"], model["attention"] = shared, tied, nn.MultiheadAttention(4, 2)
    found = find_linear_layers(model)
    assert [layer.name for layer in found.layers] == ["shared", "attention.out_proj"]
    assert "has no shape yet" in found.skipped["lazy"]
    assert "meta device" in found.skipped["empty"]
    assert "the same weight" in found.skipped["tied"]
    assert [layer.name for layer in found.projections] == ["attention.q", "attention.k", "attention.v"]
    assert all(layer.module is model["attention"] and layer.bias.shape == (4,) for layer in found.projections)


def test_an_adapter_is_one_layer_with_the_bias_of_the_whole():
    class Adapter(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base.requires_grad_(False)
            self.down, self.up = nn.Linear(6, 1, bias=False), nn.Linear(1, 6)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    model = nn.Sequential(Adapter(nn.Linear(6, 6)))
    (layer,) = linear_layers(model)
    x = torch.rand(2, 6)
    assert layer.module is model[0]
    assert torch.allclose(x @ layer.weight.weight.T + layer.bias, model(x), atol=1e-5)
