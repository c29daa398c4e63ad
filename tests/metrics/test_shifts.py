"""Shifts: what they move, and that outputs which move with the input agree after alignment."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lightning_factorlens.metrics.consistency import alternating_shift
from lightning_factorlens.metrics.shifts import ImageShift, TimeShift

GENERATOR = torch.Generator()


def test_an_image_shift_is_that_of_consistency():
    images = torch.rand(5, 3, 32, 32)
    assert torch.equal(ImageShift().apply(images, GENERATOR), alternating_shift(images, 2))
    assert torch.equal(ImageShift(3).apply(images, GENERATOR), alternating_shift(images, 3))
    video = torch.rand(2, 3, 4, 32, 32)
    assert torch.equal(ImageShift(3).apply(video, GENERATOR)[0, 0, 0], torch.roll(video[0, 0, 0], (3, 3), (0, 1)))


@pytest.mark.parametrize("shape", [(5, 40), (5, 2, 40)])
def test_a_time_shift_moves_the_last_axis(shape):
    series = torch.rand(shape)
    found = TimeShift(3).apply(series, GENERATOR).numpy()
    for k, sample in enumerate(series.numpy()):
        assert np.array_equal(found[k], np.roll(sample, -3 if k % 2 else 3, -1))


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("pixels", [None, 1, 3])
def test_outputs_that_move_with_the_image_agree_after_alignment(stride, pixels):
    images = torch.rand(4, 3, 32, 32)
    shift = ImageShift(pixels)
    strides = (float(stride), float(stride))
    moved = shift.apply(images, GENERATOR, strides)
    assert not torch.equal(moved, images)
    outputs, perturbed = F.avg_pool2d(images, stride), F.avg_pool2d(moved, stride)
    first, second = shift.align(outputs, perturbed, images, (2, 3))
    assert torch.equal(first, second)
    assert first.shape[-1] < outputs.shape[-1]


def test_outputs_that_move_with_the_series_agree_after_alignment():
    series = torch.rand(4, 2, 64)
    shift = TimeShift()
    moved = shift.apply(series, GENERATOR, (4.0,))
    first, second = shift.align(F.avg_pool1d(series, 4), F.avg_pool1d(moved, 4), series, (2,))
    assert torch.equal(first, second)


def test_one_output_a_sample_is_not_moved():
    outputs, perturbed = torch.rand(4, 3), torch.rand(4, 3)
    first, second = ImageShift().align(outputs, perturbed, torch.rand(4, 1, 8, 8), ())
    assert first is outputs
    assert second is perturbed


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ImageShift().apply(torch.rand(2, 3), GENERATOR), "no images"),
        (lambda: ImageShift().apply(torch.rand(2, 1, 8, 8), GENERATOR, (8 / 3, 8 / 3)), "no whole multiple"),
        (lambda: ImageShift().apply(torch.rand(2, 1, 8, 8), GENERATOR, (0.5, 0.5)), "no whole multiple"),
        (lambda: ImageShift(4).align(*[torch.rand(2, 1, 8, 8)] * 3, (2, 3)), "too small for a shift"),
        (lambda: ImageShift(0), "pixels: must be a whole number"),
        (lambda: TimeShift(-1), "steps: must be a whole number"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
