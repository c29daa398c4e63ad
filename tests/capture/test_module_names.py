"""Names of layers do not depend on wrappers."""

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.weights import weight_layers


def make_net(wrap):
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
    return nn.Sequential(wrap(inner), wrap(nn.Linear(5, 3)))


def test_activation_checkpointing_changes_neither_names_nor_kinds_of_layers():
    images = torch.rand(6, 4)
    plain, wrapped = make_net(lambda module: module), make_net(checkpoint_wrapper)
    found = []
    for model in (plain, wrapped):
        with torch.no_grad():
            found.append([(call.name, call.info.op, call.owner) for call in trace_layers(model, model, images)])
    assert found[0] == found[1]
    weights = [
        [(layer.name, layer.op, layer.parameters) for layer in weight_layers(model)] for model in (plain, wrapped)
    ]
    assert weights[0] == weights[1]
