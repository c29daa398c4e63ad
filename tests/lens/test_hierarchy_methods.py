"""Signals and hierarchies by the lens: layers, classes as names alone, and errors that name the argument."""

import pytest
import torch
from small_lens import make_net, make_probe
from torch import nn

from lightning_factorlens import FactorLens


def test_signals_are_the_layers_outputs_in_the_basis_of_the_singular_vectors():
    net = make_net()
    probe = make_probe(20)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    signals = FactorLens(net).signals(probe, ["conv", "head"])
    assert list(signals) == ["conv", "head"]
    output = net.conv(probe).flatten(2).mean(2) - net.conv.bias
    assert torch.equal(
        FactorLens(net).exemplars(probe, "head", count=2).positive[:, 0], signals["head"].values.argmax(0)
    )
    assert torch.allclose(signals["conv"].values.norm(dim=1), output.norm(dim=1), rtol=1e-5)
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_classes_name_the_hyperedges_and_have_no_influence_on_the_signals():
    net = make_net()
    lens = FactorLens(net, outputs="classes")
    probe = make_probe(60)
    predicted = lens.hierarchy(probe, "hidden", q=0.7, p=0.5)
    given = lens.hierarchy(probe, "hidden", net(probe).argmax(1), q=0.7, p=0.5, names=["a", "b", "c"])
    assert torch.equal(given.shares, predicted.shares)
    assert set(given.class_names) <= {"a", "b", "c"}
    words = lens.hierarchy(probe, "hidden", ["x", "y"] * 30, q=0.7, p=0.5)
    assert words.class_names == ("x", "y")
    assert torch.equal(words.significance.significant, given.significance.significant)


def test_errors_name_the_argument():
    lens = FactorLens(make_net())
    probe = make_probe(20)
    with pytest.raises(ValueError, match=r"^layers: .*'wrong'.*'conv', 'hidden', 'head'"):
        lens.signals(probe, "wrong")
    with pytest.raises(ValueError, match=r"^probe: found no samples"):
        lens.signals(probe[:0])
    for wrong in (None, 3, ["conv"]):
        for call in (lens.hierarchy, lens.exemplars, lens.panels):
            with pytest.raises(ValueError, match="^layer: must be of type str"):
                call(probe, wrong)
    with pytest.raises(ValueError, match=r"^classes: the model's output is not read as class scores"):
        FactorLens(make_net(), outputs="embedding").hierarchy(probe, "head")
    with pytest.raises(ValueError, match="^classes: must have one class for each of the 20 images"):
        lens.hierarchy(probe, "head", [0, 1])
    unused = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    unused.add_module("spare", nn.Identity())
    unused[1].extra = nn.Linear(4, 4)
    with pytest.raises(ValueError, match=r"^layer: '1.extra' has no signals: "):
        FactorLens(unused).hierarchy(probe, "1.extra", [0] * 20)
