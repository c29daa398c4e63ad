import pytest
import torch
from torch import nn

from lightning_factorlens.visualization import feature_maps, weight_pictures

MODEL = nn.Sequential(
    nn.Conv1d(2, 4, 3),
    nn.Conv2d(2, 4, (5, 1), groups=2),
    nn.Conv3d(2, 4, (2, 3, 4)),
    nn.ConvTranspose2d(4, 6, 3, groups=2),
    nn.Linear(12, 5),
    nn.Linear(7, 3),
)


def test_weights_of_any_kernel_are_images_of_their_units():
    shapes = {name: tuple(weight_pictures(MODEL, name).pictures.shape) for name in "012345"}
    assert shapes == {
        "0": (4, 2, 1, 3),
        "1": (4, 1, 5, 1),
        "2": (4, 4, 3, 4),
        "3": (6, 2, 3, 3),
        "4": (5, 1, 3, 4),
        "5": (3, 1, 3, 3),
    }
    weight = MODEL[3].weight
    assert torch.equal(weight_pictures(MODEL, "3", [4]).pictures[0], weight[2:4, 1])
    assert torch.equal(
        weight_pictures(MODEL, "4", [2, 0], (3, 2, 2)).pictures, MODEL[4].weight[[2, 0]].view(2, 3, 2, 2)
    )
    left_over = weight_pictures(MODEL, "5").pictures
    assert left_over[:, 0].flatten(1)[:, 7:].isnan().all() and torch.equal(
        left_over[:, 0].flatten(1)[:, :7], MODEL[5].weight
    )


def test_maps_of_chosen_images_and_units_are_the_layers_own():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True))
    images = torch.rand(300, 1, 6, 6)
    found = feature_maps(model, images, "0", [3, 1], [250, 7])
    assert torch.equal(found.maps, model[0](images[[250, 7]])[:, [3, 1]].transpose(0, 1))
    assert torch.equal(found.inputs, images[[250, 7]])
    torch.testing.assert_close(feature_maps(model, images, "1", [2]).maps[0], model(images)[:, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weight_pictures(MODEL, "9"), "layer: no weights are named '9'; there are '0', '1'"),
        (lambda: weight_pictures(MODEL, "4", [5]), "units: there are 5 units of '4', found 5"),
        (lambda: weight_pictures(MODEL, "4", shape=(5, 5)), r"shape: must be \(C, H, W\) or \(H, W\) of 12 inputs"),
        (lambda: weight_pictures(MODEL, "4", shape=(1, -3, -4)), r"shape: must be \(C, H, W\)"),
        (lambda: weight_pictures(MODEL, "0", shape=(3, 3)), "shape: '0' is a convolution"),
        (lambda: feature_maps(MODEL[4], torch.rand(3, 12), "", [9]), "units: there are 5 units of '', found 9"),
        (lambda: feature_maps(MODEL[4], torch.rand(3, 12), "", [0], [3]), "images: there are 3 images of the probe"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
