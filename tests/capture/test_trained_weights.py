"""The weights that are analysed are those that are trained and used; the others are listed in groups."""

import torch
from torch import nn
from torchmetrics import Metric

from lightning_factorlens.capture.trained_weights import trained_weights
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.capture.weights import weight_layers
from lightning_factorlens.results import SkippedWeights


def net(n=3):
    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(n)))


class WithNetwork(Metric):
    def __init__(self):
        super().__init__()
        self.inception = net(4).requires_grad_(False)

    def update(self):
        pass

    def compute(self):
        pass


class Run(nn.Module):
    """A network with a frozen loss network, a teacher, a metric and a discriminator."""

    def __init__(self):
        super().__init__()
        self.generator, self.discriminator, self.fid = net(), net(2), WithNetwork()
        self.loss = nn.ModuleDict({"vgg": net(5).requires_grad_(False)})
        self.teacher = net().requires_grad_(False)

    def forward(self, x):
        return self.generator(x)


def select(model, *, record=True):
    used = UsedParameters()
    if record:
        with used.record(model):
            model(torch.rand(2, 4))
    selected, skipped = trained_weights(model, weight_layers(model), used)
    return [layer.name for layer in selected], skipped


def test_networks_that_forward_does_not_call_are_skipped_in_groups():
    names, skipped = select(Run())
    assert names == ["generator.0", "generator.1", "generator.2"]
    reason = "not called by the forward pass"
    assert skipped == [
        SkippedWeights("discriminator", 2, reason),
        SkippedWeights("fid", 4, reason),
        SkippedWeights("loss", 5, reason),
        SkippedWeights("teacher", 3, reason),
    ]


def test_without_a_recorded_forward_pass_only_frozen_weights_are_skipped():
    names, skipped = select(Run(), record=False)
    assert names == [*(f"generator.{k}" for k in range(3)), "discriminator.0", "discriminator.1"]
    assert [(group.name, group.reason) for group in skipped] == [(n, "frozen") for n in ("fid", "loss", "teacher")]


def test_freezing_and_unfreezing_are_followed():
    model = net()
    model[0].requires_grad_(False)
    assert select(model) == (["1", "2"], [SkippedWeights("0", 1, "frozen")])
    model[0].requires_grad_(True)
    assert select(model) == (["0", "1", "2"], [])


def test_a_group_is_the_largest_module_with_one_reason():
    model = nn.ModuleDict({"backbone": nn.ModuleDict({"early": net(2), "late": net(2)})})
    model["backbone"]["early"].requires_grad_(False)
    model["backbone"]["late"][0].requires_grad_(False)
    _, skipped = select(model, record=False)
    assert [(group.name, group.n_weights) for group in skipped] == [("backbone.early", 2), ("backbone.late.0", 1)]


def test_in_a_model_without_a_trainable_parameter_all_used_weights_are_analysed():
    model = Run().requires_grad_(False)
    names, skipped = select(model)
    assert names == ["generator.0", "generator.1", "generator.2"]
    assert len(skipped) == 4


def test_weights_without_parameters_are_frozen_and_count_as_used():
    class Dequantised(nn.Linear):  # as a quantised layer, it has a weight that is no parameter
        def __init__(self):
            super().__init__(4, 4)
            del self.weight
            self.weight = torch.rand(4, 4)

    model = nn.Sequential(Dequantised(), nn.Linear(4, 4))
    assert select(model) == (["1"], [SkippedWeights("0", 1, "frozen")])
    assert select(model.requires_grad_(False)) == (["0", "1"], [])
