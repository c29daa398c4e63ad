"""A parameter is used when a function of torch receives it, in whatever way."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

from lightning_factorlens.capture.used_parameters import UsedParameters

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def names_used(model, *inputs):
    used = UsedParameters()
    with torch.no_grad(), used.record(model.eval()):
        model(*inputs)
    return used


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.attention = nn.LSTM(4, 4, batch_first=True), nn.MultiheadAttention(4, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.functional, self.masked, self.listed = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.pruned, self.normed, self.spectral = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        prune.l1_unstructured(self.pruned, "weight", 0.3)
        weight_norm(self.normed)
        parametrizations.spectral_norm(self.spectral)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.functional.weight
        self.idle = nn.Linear(4, 4)

    def forward(self, x):
        x, _ = self.lstm(x)
        x, _ = self.attention(x, x, x)
        x = nn.functional.linear(self.encoder(x), self.functional.weight, self.functional.bias)
        x = x @ (self.masked.weight * 2).T + self.masked.bias
        x = x + torch.stack([self.listed.weight, self.listed.weight]).sum(0)[0] + self.listed.bias
        assert self.idle.weight.dtype == x.dtype  # reading what a parameter is like does not use it
        assert self.idle.weight.shape == self.idle.weight.size()
        return self.spectral(self.normed(self.pruned(x)))


def test_all_ways_to_use_a_parameter_are_seen():
    used = names_used(Everything(), torch.rand(2, 5, 4))
    assert sorted(used.known - used.names) == ["idle.bias", "idle.weight", "tied.bias"]


def test_a_parameter_that_appears_later_counts_as_used():
    model = nn.ModuleDict({"a": nn.Linear(2, 2)})
    used = UsedParameters()
    assert used.includes("a.weight")  # nothing was recorded
    with used.record(model):
        pass
    assert not used.includes("a.weight")
    assert used.includes("b.weight")
