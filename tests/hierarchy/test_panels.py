import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.hierarchy.awkward_layers import AWKWARD_LAYERS
from lightning_factorlens.hierarchy import decomposition_panels, layer_signals
from lightning_factorlens.hierarchy.layer_vectors import VectorCache


@pytest.mark.parametrize("name", AWKWARD_LAYERS)
def test_every_panel_follows_from_the_one_before(name):
    make, shape = AWKWARD_LAYERS[name]
    torch.manual_seed(0)
    model = nn.Sequential(make(), nn.ReLU())
    x = torch.randn(3, *shape)
    output = model[0](x)[2].detach()  # torch warns of even kernels once, here and not inside of the package
    cache = VectorCache()
    panels = decomposition_panels(model, x, "0", image=2, cache=cache)
    raw = output if hasattr(model[0], "stride") else output.movedim(-1, 0)
    Y = panels.outputs.flatten(1)
    bias = model[0].bias.detach().view(-1, *[1] * (raw.ndim - 1))
    tolerance = 1e-5 * float(Y.abs().max())
    assert torch.allclose(panels.outputs + bias, raw, atol=tolerance)
    signals = panels.s[:, None] * panels.projections.flatten(1).double()
    assert torch.allclose(panels.signals.flatten(1).double(), signals, atol=tolerance)
    n_groups = int(panels.group.max()) + 1
    U = cache._entries["0"].all.U
    parts = [U[g] @ signals[panels.group == g] for g in range(n_groups)]
    assert torch.allclose(torch.cat(parts), Y.double(), atol=tolerance)
    assert torch.allclose(panels.activation, raw.relu(), atol=tolerance)
    assert panels.activation_name == "ReLU(Y + B)"
    projected = [U[g].T @ part for g, part in enumerate(panels.activation.flatten(1).double().chunk(n_groups))]
    assert torch.allclose(panels.projected_activation.flatten(1).double(), torch.cat(projected), atol=tolerance)
    assert torch.allclose(panels.signals.flatten(1).mean(1), layer_signals(model, x)["0"].values[2], atol=tolerance)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.act(self.norm(self.first(x)))
        return F.gelu(self.second(y) + x)


def test_another_activation_has_its_own_name():
    model = Residual()
    nn.init.uniform_(model.norm.weight)
    x = torch.randn(2, 2, 3, 3)
    assert decomposition_panels(model, x, "first").activation_name == "next activation: act (ReLU)"
    second = decomposition_panels(model, x, "second")
    assert second.activation_name == "next activation: F.gelu (F.gelu)"
    assert torch.allclose(second.activation, model.eval()(x)[0].detach())
    last = decomposition_panels(nn.Linear(3, 2), torch.rand(1, 3), "Linear")
    assert last.activation_name == "Y + B"
    assert last.outputs.shape == (2,) and last.fields.shape == (3,)


def test_what_cannot_be_shown_is_refused_with_its_reason():
    model = nn.ModuleDict(
        {"used": nn.Linear(3, 3), "unused": nn.Linear(3, 3), "attention": nn.MultiheadAttention(4, 2)}
    )
    with pytest.raises(ValueError, match="does not use it"):
        decomposition_panels(model, torch.rand(2, 3), "unused", forward=model["used"])
    with pytest.raises(ValueError, match="the linear layers are 'used'"):
        decomposition_panels(model, torch.rand(2, 3), "fc", forward=model["used"])
    with pytest.raises(ValueError, match="there are 2 images in the probe"):
        decomposition_panels(model, torch.rand(2, 3), "used", image=2, forward=model["used"])
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    with pytest.raises(ValueError, match="inside of nn.MultiheadAttention"):
        decomposition_panels(attention, torch.rand(2, 3, 4), "out_proj", forward=lambda x: attention(x, x, x))
