"""Capture sees what the network computes: functional and reused ReLUs, each tensor once, and leaves no hook behind."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_factorlens.capture.activations import apply_sign_policies, capture_activations, input_blocks
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.capture.selection import select_layers, trace_layers
from lightning_factorlens.capture.signs import POLICIES, Denormalize


class Mixed(nn.Module):
    """Functional, method and in-place ReLUs, one nn.ReLU called twice, a dropout that repeats its input."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.act, self.inplace, self.drop = nn.ReLU(), nn.ReLU(inplace=True), nn.Dropout()
        self.block = Block()
        self.head = nn.Linear(5, 6)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.act(self.conv2(x))
        x = self.drop(self.act(x - 0.1))
        x = self.block(x)
        x = self.inplace(x - 0.2)
        return self.head(torch.relu(x.mean((2, 3)) - 0.01))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(5, 5, 1)

    def forward(self, x):
        return x + self.conv(x).relu()


EXPECTED = ["F.relu", "act", "act-2", "block.F.relu", "inplace", "F.relu-2"]


def kept(rows):
    return [row.name for row in rows if row.selected]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Mixed()


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_automatic_choice_sees_every_relu_once(model):
    x = torch.rand(4, 3, 8, 8)
    with isolate_model(model):
        rows = select_layers(trace_layers(model, model, x))
    assert kept(rows) == EXPECTED
    assert next(r for r in rows if r.name == "drop").reason == "passes its input through"
    assert next(r for r in rows if r.name == "conv1").reason == "signed"


def test_captured_values_are_those_of_the_forward_pass(model):
    x = torch.rand(300, 3, 8, 8)  # more than one batch
    with isolate_model(model):
        rows = select_layers(trace_layers(model, model, x[:4]))
        answer = capture_activations(model, model, x, rows)
        a = F.relu(model.conv1(x))
        b = F.relu(model.conv2(a))
        c = F.relu(b - 0.1)
        d = model.block.conv(c).relu()
        e = F.relu(c + d - 0.2)
        f = torch.relu(e.mean((2, 3)) - 0.01)
        logits = model(x)
    assert [block.name for block in answer.layers] == EXPECTED
    for block, truth in zip(answer.layers, (a, b, c, d, e, f)):
        assert torch.allclose(block.samples, truth.flatten(1), atol=1e-6), block.name
        assert block.shape == tuple(truth.shape[1:])
    assert torch.allclose(answer.outputs, logits, atol=1e-6)


def test_names_are_stable_from_pass_to_pass(model):
    x = torch.rand(4, 3, 8, 8)
    with isolate_model(model):
        first, second = (kept(select_layers(trace_layers(model, model, x))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("act*", ["act", "act-2"]),
        ("re:relu$", ["F.relu", "block.F.relu"]),
        (nn.ReLU, ["act", "act-2", "inplace"]),
        (["type:Conv2d", "block"], ["conv1", "conv2", "block.conv", "block"]),
    ],
)
def test_selection_by_glob_regex_and_type(model, layers, names):
    with isolate_model(model):
        assert kept(select_layers(trace_layers(model, model, torch.rand(4, 3, 8, 8)), layers)) == names


def test_a_pattern_that_matches_nothing_lists_what_there_is(model):
    with isolate_model(model):
        seen = trace_layers(model, model, torch.rand(4, 3, 8, 8))
    with pytest.raises(ValueError, match=r"layers: 'features\.\*' matches nothing; there are: .*conv1.*block\.F\.relu"):
        select_layers(seen, "features.*")
    with pytest.raises(ValueError, match="not a regular expression"):
        select_layers(seen, "re:(")
    with pytest.raises(ValueError, match="non-empty list"):
        select_layers(seen, [])
    linear = nn.Linear(3, 3)
    signed = trace_layers(linear, linear, torch.rand(4, 3) - 0.5)
    with pytest.raises(ValueError, match="found no activation"):
        select_layers(signed)


@pytest.mark.parametrize("where", ["conv2", "head"])
def test_no_hook_outlives_an_exception(model, where):
    def explode(*_):
        raise RuntimeError("boom")

    handle = model.get_submodule(where).register_forward_hook(explode)
    before = hooks(model)
    model.train()
    with pytest.raises(RuntimeError, match="boom"), isolate_model(model):
        trace_layers(model, model, torch.rand(4, 3, 8, 8))
    assert hooks(model) == before
    assert all(m.training for m in model.modules())
    handle.remove()


def test_compiled_modules_are_watched_without_a_recompile(model):
    compiled = torch.compile(model, backend="eager")
    x = torch.rand(4, 3, 8, 8)
    compiled(x)
    with isolate_model(compiled):
        assert kept(select_layers(trace_layers(compiled, compiled, x))) == EXPECTED


def test_gelu_networks_are_watched_too():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 3))
    with isolate_model(net):
        assert kept(select_layers(trace_layers(net, net, torch.randn(4, 8)))) == ["1", "3"]


def test_a_budget_keeps_the_same_neurons_and_says_how_many_each_stands_for(model):
    x = torch.rand(10, 3, 8, 8)
    with isolate_model(model):
        rows = select_layers(trace_layers(model, model, x[:4]))
        a, b = (capture_activations(model, model, x, rows, max_neurons_per_layer=20).layers for _ in range(2))
        whole = capture_activations(model, model, x, rows).layers
    for one, two, full in zip(a, b, whole):
        assert torch.equal(one.samples, two.samples)
        assert one.samples.shape[1] == min(20, full.samples.shape[1])
        assert one.sampling_factor == full.samples.shape[1] / one.samples.shape[1]
        columns = {tuple(c) for c in full.samples.T.tolist()}
        assert all(tuple(c) in columns for c in one.samples.T.tolist())


def test_inputs_are_one_block_a_channel():
    x = torch.randn(5, 3, 4, 6)
    blocks = input_blocks(x)
    assert [b.name for b in blocks] == ["input/0", "input/1", "input/2"]
    assert torch.equal(blocks[1].samples, x[:, 1].flatten(1))
    assert blocks[1].shape == (4, 6)
    assert [b.name for b in input_blocks(torch.rand(5, 7))] == ["input/0"]


def test_sign_policies_against_their_formulas():
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    raw = input_blocks(x)
    X = raw[0].samples
    get = {n: apply_sign_policies(raw, p, POLICIES["rectify"]) for n, p in POLICIES.items()}
    assert torch.equal(get["rectify"][0].samples, X.clamp_min(0))
    assert torch.equal(get["split"][0].samples - get["split"][1].samples, X)
    assert [b.name for b in get["split"]] == ["input/0/pos", "input/0/neg"]
    assert get["semi"][0].signed
    assert torch.equal(get["semi"][0].samples, X)
    assert torch.equal(get["shift"][0].samples, X - X.min())
    pixels = torch.rand(5, 3, 4, 4)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]
    normal = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    back = apply_sign_policies(input_blocks(normal), Denormalize(mean, std), POLICIES["rectify"])
    assert torch.allclose(torch.stack([b.samples for b in back], 1).view_as(pixels), pixels, atol=1e-6)
    with pytest.raises(ValueError, match="not the constants"):
        apply_sign_policies(input_blocks(normal), Denormalize([0.0] * 3, [0.2] * 3), POLICIES["rectify"])
    assert apply_sign_policies(input_blocks(pixels), POLICIES["split"], POLICIES["rectify"])[0].name == "input/0"


def test_a_transformer_layers_own_functional_activation_is_seen():
    torch.manual_seed(0)
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with isolate_model(net):
        assert kept(select_layers(trace_layers(net, net, torch.randn(4, 5, 8)))) == ["F.relu"]
