import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.visualization.node_importance import node_importance


class Network(nn.Module):
    """A residual block in place, tokens, and a layer whose norm follows later."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.block = nn.Conv2d(6, 6, 3, padding=1)
        self.tokens = nn.Linear(6, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x = F.relu(self.block(x) + x, inplace=True)
        x = torch.relu(self.tokens(x.flatten(2).transpose(1, 2)))
        return self.head(x.mean(1))


def test_z_top_images_norms_and_activations_are_those_of_brute_force():
    torch.manual_seed(0)
    model = Network()
    model.norm.bias.data[2] = -100.0  # the third unit is never active
    model.eval()
    images = torch.rand(150, 1, 6, 6)
    found = node_importance(model, images)
    with torch.no_grad():
        first = model.norm(model.stem(images)).relu()
        second = (model.block(first) + first).relu()
        tokens = second.flatten(2).transpose(1, 2)
        third = model.tokens(tokens).relu()
        z = {
            "stem": F.conv2d(images, model.stem.weight, padding=1).flatten(2).norm(dim=2),
            "block": F.conv2d(first, model.block.weight, padding=1).flatten(2).norm(dim=2),
            "tokens": (tokens @ model.tokens.weight.T).norm(dim=1),
            "head": (third.mean(1) @ model.head.weight.T).abs(),
        }
        active = {"stem": first.amax((2, 3)), "block": second.amax((2, 3)), "tokens": third.amax(1)}
        active["head"] = model(images)
    assert list(found.layers) == list(z)
    for name, expected in z.items():
        layer = found[name]
        torch.testing.assert_close(layer.z, expected)
        torch.testing.assert_close(layer.activation, active[name])
        torch.testing.assert_close(layer.layer_norms**2, expected.double().square().sum(1), rtol=1e-6, atol=0)
        assert torch.equal(layer.top_images(3), layer.z.topk(3, 0).indices.T)
    n_dead = int((active["stem"].amax(0) == 0).sum())
    assert found["stem"].is_dead[2] and int(found["stem"].is_dead.sum()) == n_dead < 6
    assert found["stem"].mean_z[2] > 0
    assert [layer.activation_name for layer in found.layers.values()] == ["F.relu", "F.relu-2", "F.relu-3", "head"]
    assert found.layer_norms().shape == (150, 4)
    marked = [line for line in found.table("stem").splitlines() if line.endswith("dead")]
    assert len(marked) == n_dead and f"{n_dead} of 6 units are active in none of 150 images" in found.table("stem")


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="layer: no call is named '1'; the forward pass has '0'"):
        node_importance(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.rand(4, 3), ["1"])
    with pytest.raises(ValueError, match="layers: must be a list with at least one name"):
        node_importance(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.rand(4, 3), "0")
    with pytest.raises(ValueError, match="the outputs of '0' have NaN"):
        node_importance(nn.Sequential(nn.Linear(3, 2)), torch.full((4, 3), torch.nan))
    with pytest.raises(KeyError, match="no layer '1'; the layers are '0'"):
        node_importance(nn.Sequential(nn.Linear(3, 2)), torch.rand(4, 3))["1"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_models_of_any_precision_have_z(dtype):
    model = nn.Conv2d(1, 4, 3).to(dtype)
    images = torch.rand(5, 1, 6, 6, dtype=dtype)
    z = node_importance(model, images)[""].z
    expected = F.conv2d(images.double(), model.weight.double()).flatten(2).norm(dim=2)
    torch.testing.assert_close(z.double(), expected, rtol=0.02, atol=0.01)
    assert z.dtype == torch.float32
