import pytest
import torch
from torch import nn

from lightning_factorlens.capture.model_fingerprint import model_fingerprint


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = 2.0
        self.norm = nn.BatchNorm1d(70_001)
        self.register_buffer("flags", torch.zeros(7, dtype=torch.uint8))


def change_weight(model):
    model.norm.weight.data[70_000] += 1e-3


def change_statistics(model):
    model.norm.running_var[3] *= 2


def change_signs(model):
    model.norm.weight.data[:2].neg_()


def exchange(model):
    model.norm.bias.data[:2] = torch.tensor([2.0, 1.0])


def change_byte(model):
    model.flags[6] = 1


def change_attribute(model):
    model.scale = 3.0


CHANGES = [change_weight, change_statistics, change_signs, exchange, change_byte, change_attribute]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_value_changes_the_fingerprint(change):
    model = Scaled()
    model.norm.bias.data[:2] = torch.tensor([1.0, 2.0])
    before = model_fingerprint(model)
    random_state = torch.get_rng_state()
    assert model_fingerprint(model.train()) == before
    assert torch.equal(torch.get_rng_state(), random_state)
    change(model)
    assert model_fingerprint(model) != before


def test_a_sparse_parameter_has_no_fingerprint():
    model = nn.Module()
    model.weight = nn.Parameter(torch.eye(3).to_sparse())
    with pytest.raises(ValueError, match="'weight' is not dense"):
        model_fingerprint(model)
