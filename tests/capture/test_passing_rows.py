"""Reading the activations of a probe out of forward passes of others, and when that is refused."""

import copy
import pickle

import pytest
import torch
from torch import nn

from lightning_factorlens.capture import capture_activations, isolate_model, select_layers, trace_layers
from lightning_factorlens.capture.entries import EntryFinder
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.capture.passing_rows import PassingRows

DECISION = OutputDecision("classes", "", (3,))


class Twice(nn.Module):
    """Calls one ReLU twice; its attribute enters the output."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 5, 3)
        self.relu, self.drop, self.head = nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3)
        self.scale = 1.0

    def forward(self, x, power=1):
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.head(self.drop(x.mean((2, 3)))) * self.scale**power


def global_hooks():
    """The hooks that torch has for all modules."""
    kinds = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
    return [hook for kind in kinds for hook in getattr(nn.modules.module, f"_global_{kind}").values()]


@pytest.fixture
def passing():
    torch.manual_seed(0)
    model, images = Twice().eval(), torch.rand(12, 1, 8, 8)
    with isolate_model(model):
        table = select_layers(trace_layers(model, model, images))
    rows = PassingRows(model, images[:6], table, 50, 0, DECISION)
    rows.start()
    yield model, images, table, rows
    rows.stop()
    assert not global_hooks()  # `torch.compile` would warn for the rest of the process


@torch.inference_mode()
def validate(model, images, size=4):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    return [model(part) for part in images[order].split(size)]


def test_activations_and_outputs_are_those_of_a_pass_of_the_probe(passing):
    model, images, table, rows = passing
    validate(model, images)
    assert rows.problem(DECISION) == "" and rows.sizes == {4}
    with isolate_model(model):
        expected = capture_activations(model, model, images[:6], table, 50, decision=DECISION)
    found = rows.capture(table)
    assert [block.name for block in found.layers] == ["relu", "relu-2"]
    for block, other in zip(found.layers, expected.layers):
        torch.testing.assert_close(block.samples, other.samples, rtol=1e-5, atol=1e-7)
        assert torch.equal(block.kept_features, other.kept_features)
        assert not block.samples.is_inference()
    torch.testing.assert_close(found.outputs, expected.outputs, rtol=1e-5, atol=1e-7)
    assert rows.capture(()).layers == []


def test_a_model_that_is_copied_or_pickled_meanwhile_has_no_hooks(passing):
    model = passing[0]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in other.modules())


def test_finding_the_ways_to_call_a_model_leaves_no_hook():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with EntryFinder(model) as finder:
        model(torch.rand(2, 2, 2))
    assert finder.entries == []
    assert not global_hooks()


def change_weights(model, images):
    validate(model, images)
    model.head.bias.data += 1


def change_meanwhile(model, images):
    validate(model, images[:3])
    model.head.bias.data += 1
    validate(model, images[3:])
    model.head.bias.data -= 1


def change_attribute(model, images):
    validate(model, images)
    model.scale = 2.0


def leave_some_out(model, images):
    validate(model, images[1:])


def train(model, images):
    model.drop.train()
    validate(model, images)
    model.eval()


def use_keywords(model, images):
    model(images, power=2)


def use_autocast(model, images):
    with torch.autocast("cpu", torch.bfloat16):
        validate(model, images)


PROBLEMS = {
    change_weights: "have changed",
    change_meanwhile: "have changed",
    change_attribute: "have changed",
    leave_some_out: "1 samples of the probe did not pass",
    train: "training mode",
    use_keywords: "keywords",
    use_autocast: "have changed",
}


@pytest.mark.parametrize("use", PROBLEMS)
def test_a_pass_that_may_have_other_numbers_is_not_used(passing, use):
    model, images, _, rows = passing
    use(model, images)
    assert PROBLEMS[use] in rows.problem(DECISION)


def test_an_error_in_the_users_pass_is_theirs_and_one_in_a_hook_is_not_raised(passing, monkeypatch):
    model, images, _, rows = passing
    monkeypatch.setattr(rows, "_read", lambda *_: 1 / 0)
    assert len(validate(model, images)) == 3
    assert "ZeroDivisionError" in rows.problem(DECISION)
