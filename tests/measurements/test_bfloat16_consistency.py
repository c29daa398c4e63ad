"""The consistency of a network that ends in a softmax over a training: outputs in bfloat16 against float32."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.metrics.consistency import alternating_shift, consistency
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble
from lightning_factorlens.stopping import Patience, default_rule, replay

EPOCHS = 30
#: Half the distance of neighbouring bfloat16 numbers, relative: the largest change of p, and of −log p.
ROUNDING = 2.0**-8


class RoundedOutputs(nn.Module):
    """A network whose outputs are rounded to a dtype, as autocast or half precision do."""

    def __init__(self, net, dtype):
        super().__init__()
        self.net, self.dtype = net, dtype

    def forward(self, x):
        return self.net(x).to(self.dtype)


def make_net():
    convolution = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*convolution, nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10), nn.Softmax(1))


@pytest.fixture(scope="module")
def recorded():
    """Outputs for the probe and for the shifted probe after every epoch, and the states of the network."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    wrong = torch.rand(400) < 0.4
    train_y = torch.where(wrong, torch.randint(0, 10, (400,)), y[:400])
    probe = x[400:600]
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    outputs, shifted, states = [], [], []
    for _ in range(EPOCHS):
        for rows in torch.randperm(400).split(50):
            optimizer.zero_grad()
            nn.functional.nll_loss(net(x[rows]).log(), train_y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            outputs.append(net(probe))
            shifted.append(net(alternating_shift(probe, 1)))
        states.append({name: value.clone() for name, value in net.state_dict().items()})
    return probe, outputs, shifted, states


def series(outputs, shifted, dtype, is_probability):
    ensemble = TemporalEnsemble()
    values, labels = [], []
    for p, q in zip(outputs, shifted):
        labels.append(ensemble.update(p.to(dtype), is_probability))
        values.append(consistency(p.to(dtype), q.to(dtype), labels[-1], is_probability))
    return torch.tensor(values), torch.stack(labels)


@pytest.mark.parametrize("is_probability", [True, None])
def test_the_series_and_the_stop_are_the_same_up_to_rounding(recorded, is_probability):
    _, outputs, shifted, _ = recorded
    expected, labels = series(outputs, shifted, torch.float32, True)
    found, found_labels = series(outputs, shifted, torch.bfloat16, is_probability)
    assert float(expected.max() - expected.min()) > 0.3  # a training, not a constant
    changed = labels != found_labels
    assert changed.float().mean() < 0.002
    # −log p of the same label changes by the rounding of p and of the sum of its row, at most 2 ROUNDING; that of the
    # few tied labels that flip by more. KL(mean ‖ uniform) changes by less than ROUNDING.
    same = ~changed.any(1)
    assert (found - expected)[same].abs().max() < 3 * ROUNDING
    assert (found - expected).abs().mean() < ROUNDING
    for rule in (default_rule(), Patience(5)):
        decisions, found_decisions = replay(rule, expected.tolist()), replay(rule, found.tolist())
        assert [d.stop for d in decisions] == [d.stop for d in found_decisions]
        assert [d.best_epoch for d in decisions] == [d.best_epoch for d in found_decisions]
    assert any(decision.stop for decision in replay(default_rule(), expected.tolist()))


def test_the_lens_observes_both_alike(recorded):
    probe, _, _, states = recorded
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        net = make_net().eval()
        lens = FactorLens(RoundedOutputs(net, dtype), measurements=[Consistency(shift=1)])
        found[dtype] = []
        for epoch in range(0, EPOCHS, 3):
            net.load_state_dict(states[epoch])
            found[dtype].append(lens.observe(probe, epoch + 1)["consistency"]["consistency"])
    exact, rounded = torch.tensor(found[torch.float32]), torch.tensor(found[torch.bfloat16])
    assert ((exact - rounded) / exact).abs().max() < 2 * ROUNDING
