"""A NaN in a model's weights, inputs, one activation or one answer: every tag is absent with a reason, or right."""

import math

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.loggers.tags import tagged_values, undefined_tags
from lightning_factorlens.measurements import (
    PerturbationConsistency,
    PredictionChange,
    PredictionConfidence,
    default_measurements,
)
from lightning_factorlens.results.leading_scalar import best_observation
from lightning_factorlens.stopping import EpochInfo, Maximize, Patience, default_rule

N = 12


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(x).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.hidden, self.act = nn.LSTM(8, 12, batch_first=True), nn.Linear(12, 16), nn.ReLU()
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.act(self.hidden(self.lstm(x)[0][:, -1])))


def dense(activation, width):
    layers = [nn.Linear(width, 24), activation(), nn.Linear(24, 16), activation(), nn.Linear(16, 3)]
    return nn.Sequential(*layers)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 20)

    def forward(self, x):
        return self.head(self.encoder(self.embedding(x)))


CASES = {
    "CNN": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
        ),
        (1, 8, 8),
        "classes",
    ),
    "MLP": (lambda: dense(nn.ReLU, 10), (10,), "classes"),
    "sigmoid net": (lambda: nn.Sequential(nn.Flatten(), dense(nn.Sigmoid, 64)), (1, 8, 8), "classes"),
    "transformer encoder": (Encoder, (6, 8), "classes"),
    "segmentation net": (
        lambda: nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1)),
        (1, 8, 8),
        "pixel_classes",
    ),
    "LSTM": (Recurrent, (6, 8), "classes"),
    "softmax net": (lambda: nn.Sequential(nn.Flatten(), dense(nn.Tanh, 64), nn.Softmax(1)), (1, 8, 8), "classes"),
    "autoencoder": (lambda: nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 20)), (20,), "regression"),
    "labels": (lambda: dense(nn.ELU, 10), (10,), "multilabel"),
    "language model": (Tokens, (6,), "token_classes"),
}


class Answers(nn.Module):
    """Returns what the network does, but for a value that is added to the answer to the first sample."""

    def __init__(self, net):
        super().__init__()
        self.net, self.value = net, 0.0

    def forward(self, x):
        z = self.net(x).clone()
        middle = min(z[0].numel() // 2 + z.shape[-1] // 2, z[0].numel() - 1)
        z[0].view(-1)[middle] += self.value
        return z


def plant_in_weights(model, probe, value):
    list(model.net.parameters())[-2].data.view(-1)[0] = value


def plant_in_inputs(model, probe, value):
    if probe.is_floating_point():
        probe[2].view(-1)[0] = value


def plant_in_an_activation(model, probe, value):
    def spoil(module, inputs, output):
        output = output.clone()
        output[1].view(-1)[0] = value
        return output

    activations = [m for m in model.modules() if isinstance(m, (nn.ReLU, nn.Sigmoid, nn.Linear, nn.Conv2d))]
    module = activations[0]
    forward = module.forward
    module.forward = lambda x: spoil(module, (x,), forward(x))


def plant_in_an_answer(model, probe, value):
    model.value = value


PLANTS = [plant_in_weights, plant_in_inputs, plant_in_an_activation, plant_in_an_answer]


def tags_of(observation, measurements):
    found = {}
    for entry in tagged_values(observation, measurements):
        if entry.measurement != "cost":
            found[entry.tag] = entry
    return found


def check_rules(history, measurements, entries):
    """No rule and no table takes the last observation as the best."""
    last = tags_of(history[-1], measurements)
    for tag in entries:
        if tag in last:
            continue
        for rule in (Patience(), default_rule(), Maximize(Patience())):
            state = rule.start()
            for number, observation in enumerate(history, 1):
                of_tag = tags_of(observation, measurements).get(tag)
                value = math.nan if of_tag is None else of_tag.value.value
                state, decision = rule.step(state, value, EpochInfo(number))
            assert decision.best_epoch != len(history), (tag, rule)
            assert math.isnan(decision.score), (tag, rule)
    if "factorlens/consistency" in entries and "factorlens/consistency" not in last:
        assert best_observation(history) is not history[-1]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("case", CASES)
def test_every_tag_is_absent_with_a_reason_or_right(case, plant):
    check_tags(case, plant, math.nan, torch.float32)


@pytest.mark.parametrize("case", ["MLP", "softmax net", "autoencoder", "labels", "language model"])
def test_infinite_answers_of_networks_in_bfloat16_are_treated_like_nan(case):
    check_tags(case, plant_in_an_answer, math.inf, torch.bfloat16)


@pytest.mark.parametrize("case", ["MLP", "softmax net", "autoencoder"])
def test_infinite_weights_of_networks_in_bfloat16_are_treated_like_nan(case):
    check_tags(case, plant_in_weights, math.inf, torch.bfloat16)


def check_tags(case, plant, value, dtype):
    make, shape, outputs = CASES[case]
    torch.manual_seed(0)
    model = Answers(make()).eval().to(dtype)
    probe = torch.rand(N, *shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    if outputs == "token_classes":
        probe = (20 * probe).long().clamp_max(19)
    measurements = [*default_measurements(), PerturbationConsistency(), PredictionChange(), PredictionConfidence()]
    lens = FactorLens(model, LensOptions(ranks=(1, 2)), measurements, outputs=outputs)
    history = [lens.observe(probe.clone(), epoch, epoch) for epoch in (1, 2)]
    good = tags_of(history[-1], measurements)
    assert good
    plant(model, probe, value)
    reason = ""
    try:
        history.append(lens.observe(probe, 3, 3))
    except ValueError as error:
        reason = str(error)
    if len(history) == 2:  # no observation, with the reason
        assert "NaN or infinite" in reason
        assert plant is not plant_in_an_answer
        return
    found = tags_of(history[-1], measurements)
    for tag, entry in found.items():
        assert entry.value.value == pytest.approx(good[tag].value.value, rel=0.02, abs=1e-3), tag
    missing = set(good) - set(found)
    assert missing or plant is not plant_in_an_answer
    assert missing or plant is not plant_in_weights
    assert not missing or any(note.startswith("no ") for note in history[-1].notes)
    undefined = undefined_tags(history[-1], measurements)
    assert {tag for tag in missing if good[tag].scalar.monitored} <= set(undefined)
    check_rules(history, measurements, good)
