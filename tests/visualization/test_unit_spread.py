import pytest
import torch
from torch import nn

from lightning_factorlens.visualization import unit_spread


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))


def permuted(model):
    """The same function with the units of the convolution in another order."""
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    other = network(0)
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight[order])
        other[0].bias.copy_(model[0].bias[order])
        other[3].weight.copy_(model[3].weight.unflatten(1, (8, 16))[:, order].flatten(1))
        other[3].bias.copy_(model[3].bias)
    return other


def test_units_in_another_order_are_found_and_random_ones_are_what_the_untrained_have():
    torch.manual_seed(9)
    images = torch.rand(60, 1, 6, 6)
    model = network(1)
    untrained = [network(2), network(3), network(4)]
    by_filters = unit_spread([model, permuted(model)], untrained)
    assert torch.allclose(by_filters["0"].cosine, torch.ones(1, 8, dtype=torch.float64))
    assert by_filters["3"].cosine.mean() < 0.9  # its inputs are in another order
    assert by_filters["0"].untrained.shape == (3, 8) and 0 < by_filters["0"].untrained.mean() < 0.9
    by_responses = unit_spread([model, permuted(model)], untrained, images, by="responses")
    for layer in by_responses.layers.values():
        assert torch.allclose(layer.cosine, torch.ones_like(layer.cosine), atol=1e-5)
        assert layer.excess > 0
    assert "untrained" in by_filters.table() and "matched by their filters" in by_filters.table()
    with pytest.raises(KeyError, match="no layer '1'; the layers are '0', '3'"):
        by_filters["1"]


def test_wrong_arguments_are_refused():
    models = [network(0), network(1)]
    diverged = network(2)
    diverged[0].weight.data[0] = torch.nan
    for call, message in (
        (lambda: unit_spread(models[:1], models), "found 1 and 2 networks; give at least two of each"),
        (lambda: unit_spread(models, models, by="responses"), "probe: found None"),
        (
            lambda: unit_spread(models, [nn.Sequential(nn.Linear(2, 3))] * 2),
            "no layer of equal name and size in common",
        ),
        (lambda: unit_spread(models, models, by="z"), "by: found 'z'"),
        (lambda: unit_spread(models[0], models), "found one network; give a list of at least two"),
        (lambda: unit_spread([models[0], diverged], models), "the weight of '0' has NaN; leave that network out"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
