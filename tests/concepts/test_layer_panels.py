"""Shares of layers and channels against brute force."""

import math

import pytest
import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts import energy_shares, layer_panels


def some_concepts(kept=None):
    g = torch.Generator().manual_seed(0)
    columns = torch.arange(12) if kept is None else kept
    blocks = [
        ("input/0", "input", (2, 2), torch.rand(4, 3, generator=g)),
        ("conv", "activation", (3, 2, 2), torch.rand(len(columns), 3, generator=g), kept),
        ("dead", "activation", (5,), torch.zeros(5, 3)),
        ("fc", "activation", (6,), torch.rand(6, 3, generator=g)),
    ]
    return make_concepts(torch.rand(3, 10, generator=g), blocks)


def test_energy_shares_against_the_reconstruction():
    concepts = some_concepts()
    shares = energy_shares(concepts)
    F = concepts.F.double()
    for row, name in zip(shares, ["conv", "dead", "fc"]):
        W = concepts[name].W
        if name == "dead":
            assert row.isnan().all()
            continue
        for k in range(3):
            term = (torch.outer(W[:, k], F[k]) * (W @ F)).sum()
            assert float(row[k]) == pytest.approx(float(term / (W @ F).square().sum()))
        assert float(row.sum()) == pytest.approx(1)


def test_energy_shares_do_not_depend_on_the_units_of_a_layer():
    blocks = [("a", "activation", (4,), torch.rand(4, 2).double() * 1e180)]
    assert float(energy_shares(make_concepts(torch.rand(2, 5), blocks)).sum()) == pytest.approx(1)


@pytest.mark.parametrize("kept", [None, torch.tensor([0, 1, 5, 6])])
def test_the_strongest_channels(kept):
    concepts = some_concepts(kept)
    conv, dead, fc = layer_panels(concepts, 1, count=2)
    W = concepts["conv"].W[:, 1]
    channel = (torch.arange(12) if kept is None else kept) // 4
    energies = torch.tensor([float(W[channel == c].square().sum()) for c in range(3)])
    captured = sorted(set(channel.tolist()))
    expected = sorted(captured, key=lambda c: -float(energies[c]))[:2]
    assert list(conv.channels) == expected
    assert conv.channel_shares == pytest.approx([float(energies[c] / energies.sum()) for c in expected])
    assert conv.profile.shape == (3,)
    assert (dead.layer, len(dead.channels)) == ("dead", 2)
    assert math.isnan(dead.share)
    assert all(map(math.isnan, dead.channel_shares))
    assert fc.channels[0] == int(concepts["fc"].W[:, 1].argmax())
    assert fc.share == pytest.approx(float(energy_shares(concepts)[2, 1]))


def test_more_channels_than_there_are():
    assert len(layer_panels(some_concepts(), 0, count=100)[0].channels) == 3


def test_only_inputs():
    concepts = make_concepts(torch.rand(2, 4), [("input/0", "input", (3,), torch.rand(3, 2))])
    assert layer_panels(concepts, 0) == ()
    assert energy_shares(concepts).shape == (0, 2)
