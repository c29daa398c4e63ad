import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.hierarchy.receptive_fields import receptive_fields


def test_fields_are_those_of_unfold_where_that_applies():
    (layer,) = linear_layers(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2))
    x = torch.rand(3, 4, 7, 6)
    expected = F.unfold(x, (3, 2), dilation=(1, 2), padding=(1, 2), stride=(2, 1))
    fields = receptive_fields(layer, x, tuple(layer.module(x).shape[2:]))
    assert torch.equal(fields.flatten(1, 2), expected)
