"""Signatures of tensors in autograd graphs."""

import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.capture.autograd_graph import Signature, edge_shape, operation, signature, walk_graph


def signature_of(tensor, module):
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return signature((tensor.grad_fn, tensor.output_nr), names)


def test_neutral_operations_do_not_change_a_signature():
    layer = nn.Linear(3, 4)
    x = torch.rand(2, 3)
    plain = signature_of(layer(x), layer)
    same = [
        layer(x) / 2.0,
        layer(x) + torch.rand(4),
        layer(x)[:1],
        layer(x).double().view(2, 2, 2),
        layer(x)[torch.tensor([True, False])],
        F.dropout(layer(x)),
        torch.cat([layer(x), layer(x)]),
        torch.where(torch.rand(2, 4) > 0.5, layer(x), torch.zeros(())),
        layer(x).clone().squeeze().contiguous(),
    ]
    for tensor in same:
        assert signature_of(tensor, layer).matches(plain), tensor.grad_fn
    assert not plain.is_permuted
    assert signature_of(layer(x).T, layer).is_permuted


def test_other_operations_change_it():
    layer = nn.Linear(3, 4)
    x = torch.rand(2, 3)
    plain = signature_of(layer(x), layer)
    others = [
        layer(x).relu(),
        layer(x) @ torch.rand(4, 4),
        layer(x) * layer(x),
        F.normalize(layer(x)),
        layer(x).mean(0),
        layer(x) + layer(x).relu(),
    ]
    for tensor in others:
        assert not signature_of(tensor, layer).matches(plain), tensor.grad_fn


def test_equal_layers_are_told_apart_by_their_parameters():
    pair = nn.ModuleList([nn.Linear(3, 4), nn.Linear(3, 4)])
    first, second = (signature_of(layer(torch.rand(2, 3)), pair) for layer in pair)
    assert (first.parameter, second.parameter) == ("0.bias", "1.bias")
    assert not first.matches(second)


def test_probabilities_match_their_scores():
    scores = Signature(("Addmm",), "bias")
    for first in ("Softmax", "LogSoftmax", "Sigmoid"):
        assert Signature((first, "Addmm"), "bias").matches(scores)
    assert not Signature(("Relu", "Addmm"), "bias").matches(scores)


def test_a_tensor_without_parameters_has_no_signature():
    assert signature((torch.ones(2, requires_grad=True).exp().grad_fn, 0), {}) == Signature(("Exp",), "")


def test_nodes_are_walked_once_and_named():
    layer = nn.Linear(3, 4)
    y = layer(torch.rand(2, 3))
    nodes = list(walk_graph((y + y).sum().grad_fn))
    assert [operation(node) for node in nodes[:3]] == ["Sum", "Add", "Addmm"]
    assert len(nodes) == len(set(nodes))
    assert edge_shape((y.grad_fn, 0)) == (2, 4)
