import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.visualization.deconvnet import deconvnet
from lightning_factorlens.visualization.deconvnet_rules import UnsupportedOperationError


class Functional(nn.Module):
    """Two convolutions around an overlapping pooling, then a residual block; in place where that is asked for."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place = in_place
        self.conv1 = nn.Conv2d(2, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.conv2 = nn.Conv2d(5, 5, 3, padding=1)
        self.linear = nn.Linear(5 * 2 * 2 * 2, 4)

    def forward(self, x):
        x = F.relu(self.norm(self.conv1(x)), inplace=self.in_place)
        x = F.max_pool2d(x, 3, 2, 1)
        x = F.relu(self.conv2(x) + x, inplace=self.in_place)
        pooled = torch.cat([F.avg_pool2d(x, 3), F.adaptive_max_pool2d(x, 2)], 1)
        return self.linear(pooled.flatten(1))


class Modular(Functional):
    """The same with modules."""

    def __init__(self):
        super().__init__(False)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.pool, self.mean = nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3)
        self.largest, self.flatten = nn.AdaptiveMaxPool2d(2), nn.Flatten()

    def forward(self, x):
        x = self.pool(self.relu1(self.norm(self.conv1(x))))
        x = self.relu2(self.conv2(x) + x)
        return self.linear(self.flatten(torch.cat([self.mean(x), self.largest(x)], 1)))


def largest_of_regions(values, size, kernel, stride, padding):
    """Brute force: what every input gets from the regions that it lies in."""
    spread = torch.zeros(*values.shape[:2], *size, dtype=values.dtype)
    for y in range(size[0]):
        for x in range(size[1]):
            found = [
                values[:, :, i, j]
                for i in range(values.shape[2])
                for j in range(values.shape[3])
                if 0 <= y - i * stride + padding < kernel and 0 <= x - j * stride + padding < kernel
            ]
            if found:
                spread[:, :, y, x] = torch.stack(found).amax(0)
    return spread


@pytest.mark.parametrize("unpool", ["switches", "regions"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (2, 3, 0)])
@pytest.mark.parametrize("start", ["strongest", "map"])
def test_a_chain_is_that_written_by_hand(unpool, kernel, stride, padding, start):
    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 4, 3).double(), nn.Conv2d(4, 3, 3, padding=1).double()
    pool = nn.MaxPool2d(kernel, stride, padding, return_indices=True)
    model = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(kernel, stride, padding), second, nn.ReLU())
    images = torch.randint(0, 2, (40, 2, 11, 9)).double()  # black and white: regions have equal maxima
    with torch.no_grad():
        rectified = F.relu(first(images))
        pooled, switches = pool(rectified)
        maps = F.relu(second(pooled))
        signal = torch.zeros_like(maps)
        for image in range(40):
            flat = maps[image, 2].flatten()
            kept = flat if start == "map" else torch.where(torch.arange(len(flat)) == flat.argmax(), flat, 0.0)
            signal[image, 2] = kept.view(maps.shape[2:])
        back = F.conv_transpose2d(signal, second.weight, padding=1)
        if unpool == "switches":
            flat = torch.zeros_like(rectified).flatten(2)
            unpooled = flat.scatter_add(2, switches.flatten(2), back.flatten(2)).view_as(rectified)
        else:
            unpooled = largest_of_regions(back, rectified.shape[2:], kernel, stride, padding)
        expected = F.conv_transpose2d(F.relu(unpooled), first.weight)
    found = deconvnet(model, images, "4", [2], range(40), unpool=unpool, start=start)
    torch.testing.assert_close(found.projections[0], expected.float(), rtol=1e-6, atol=1e-7)
    assert torch.equal(found.maps[0], second(pooled).clamp_min(0)[:, 2].float())


@pytest.mark.parametrize("unpool", ["switches", "regions"])
def test_a_functional_network_has_the_projections_of_its_module_form_bit_for_bit(unpool):
    torch.manual_seed(0)
    modular = Modular()
    images = torch.rand(35, 2, 12, 12)
    modular(images)  # running statistics
    expected = deconvnet(modular, images, "linear", [0, 3], count=34, unpool=unpool)
    for in_place in (False, True):
        functional = Functional(in_place)
        functional.load_state_dict(modular.state_dict())
        found = deconvnet(functional, images, "linear", [0, 3], count=34, unpool=unpool)
        assert torch.equal(found.projections, expected.projections)
        assert torch.equal(found.images, expected.images)
    same = deconvnet(modular, images, "linear", [0, 3], expected.images[0].tolist(), unpool=unpool)
    torch.testing.assert_close(same.projections[0], expected.projections[0])
    assert float(same.projections.abs().amax()) > 0


def test_the_model_is_left_as_found_with_gradients_and_flags():
    torch.manual_seed(0)
    model = Modular()
    images = torch.rand(4, 2, 12, 12)
    model(images).sum().backward()
    model.conv1.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    deconvnet(model, images, "relu2", [1])
    assert model.training and not model.conv1.weight.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (nn.GELU(), "Gelu"),
        (nn.LayerNorm(9), "NativeLayerNorm"),
        (nn.BatchNorm2d(3, track_running_stats=False), "BatchNorm with the statistics of the batch"),
        (nn.LeakyReLU(), "LeakyRelu"),
        (nn.Threshold(0.5, 0.0), "Threshold with a bound of 0.5"),
        (nn.Softmax(1), "Softmax"),
    ],
)
def test_an_operation_without_a_rule_is_named(operation, name):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), operation, nn.Conv2d(3, 2, 1), nn.ReLU())
    images = torch.rand(3, 1, 11, 11)
    with pytest.raises(UnsupportedOperationError, match=rf"operation {name}, for which.*average pooling"):
        deconvnet(model, images, "3", [0])
    assert deconvnet(model, images, "0", [0]).projections.shape == (1, 3, 1, 11, 11)  # it lies behind that layer


def test_a_product_of_two_parts_that_depend_on_the_image_is_refused():
    class Gate(nn.Module):
        def forward(self, x):
            return x * x.mean((2, 3), keepdim=True)

    with pytest.raises(UnsupportedOperationError, match="Mul of operands that both depend on the inputs"):
        deconvnet(nn.Sequential(Gate(), nn.ReLU()), torch.rand(2, 1, 4, 4), "1", [0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "nothing"}, "layer: no call is named 'nothing'; the forward pass has '0', '1', ''"),
        ({"units": [4]}, "units: there are 4 units of '1', found 4"),
        ({"units": []}, "units: found none"),
        ({"images": [9]}, "images: there are 5 images of the probe, found 9"),
        ({"images": [[0, 1], [1, 2]]}, r"images: must have the shape \(n,\), or \(units, n\) with 1 rows"),
        ({"unpool": "max"}, "unpool: found 'max', allowed are 'switches', 'regions'"),
        ({"images": [0], "units": 3}, "units: must be a list with at least one channel of the layer, found 3"),
        ({"probe": torch.zeros(5, 1, 6, 6, dtype=torch.uint8)}, "probe: must be one tensor of floating-point images"),
        ({"probe": torch.full((5, 1, 6, 6), torch.nan)}, "layer: the outputs of '1' have NaN"),
        ({"model": nn.Conv2d(1, 4, 3, device="meta")}, "model: 2 parameters have no values yet"),
        ({"images": [0], "units": [7]}, "units: there are 4 units of '1', found 7"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with pytest.raises(ValueError, match=message):
        deconvnet(**{"model": model, "probe": torch.rand(5, 1, 6, 6), "layer": "1", "units": [0], **arguments})
