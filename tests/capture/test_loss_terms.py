"""Losses read from autograd graphs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.capture.autograd_graph import Signature
from lightning_factorlens.capture.loss_terms import LossGraph, LossTerm, read_loss_graph


def names_of(model):
    return {id(parameter): name for name, parameter in model.named_parameters()}


def test_saved_tensors_are_not_touched():
    layer = nn.Linear(3, 2)

    def unpack(_):
        raise AssertionError("a saved tensor was read")

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
        loss = F.cross_entropy(layer(torch.rand(4, 3)).relu(), torch.tensor([0, 1, 0, 1]))
    assert read_loss_graph(loss.grad_fn, names_of(layer)).terms


def test_the_graph_can_still_be_used_for_the_backward_pass():
    layer = nn.Linear(3, 2)
    loss = F.cross_entropy(layer(torch.rand(4, 3)), torch.tensor([0, 1, 0, 1]))
    expected = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
    read_loss_graph(loss.grad_fn, names_of(layer))
    found = torch.autograd.grad(loss, list(layer.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(expected, found))


@pytest.mark.parametrize(
    ("term_shape", "axis", "skipped", "part", "expected"),
    [
        ((8, 4), 1, (), (0, 4), 1),
        ((8, 4), 1, ("View",), (0, 3, 4), 2),
        ((8, 4), 1, ("View", "Permute"), (0, 4, 3), 1),
        ((8, 4), 1, ("View", "Permute"), (0, 3, 4), 2),
        ((2, 4, 3), 1, ("Transpose",), (0, 3, 4), 2),
        ((2, 4, 3), 1, (), (0, 4, 3), 1),
        ((4, 8), 0, (), (0, 4), None),
        ((4, 8), 1, ("T",), (0, 8), None),
        ((8, 5), 1, (), (0, 4), None),
    ],
)
def test_the_axis_of_the_classes_in_the_models_output(term_shape, axis, skipped, part, expected):
    term = LossTerm("classes", "LogSoftmax", Signature(("Addmm",), "bias", skipped), term_shape, axis)
    assert term.class_axis(part) == expected


def test_graphs_are_joined():
    term = LossTerm("regression", "MseLoss", Signature(("Addmm",), "bias"), (4, 2))
    joined = LossGraph(frozenset([term])).join(LossGraph(is_opaque=True))
    assert joined.terms == {term}
    assert joined.is_opaque
