"""Random transformations, and the pictures that parameters describe."""

import math
import re

import pytest
import torch

from lightning_factorlens.visualization import (
    Adam,
    Fourier,
    Jitter,
    MagnitudeConstrained,
    NormalizedAscent,
    Pad,
    Pixels,
    Rotate,
    Scale,
    Settings,
)
from lightning_factorlens.visualization.image_statistics import ImageStatistics
from lightning_factorlens.visualization.transforms import transform


def generator():
    return torch.Generator().manual_seed(3)


def test_every_picture_is_shifted_by_its_own_amount():
    picture = torch.arange(48.0).view(1, 1, 8, 6)
    state = torch.get_rng_state()
    moved = Jitter(2)(picture.expand(64, 1, 8, 6), generator())
    assert torch.equal(torch.get_rng_state(), state)
    shifts = {(dy, dx): picture[0].roll((dy, dx), (1, 2)) for dy in range(-2, 3) for dx in range(-2, 3)}
    found = set()
    for one in moved:
        matches = [shift for shift, rolled in shifts.items() if torch.equal(one, rolled)]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) > 15


def test_rotation_and_scale_keep_distances_in_pictures_that_are_not_square():
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(61.0) - 30, indexing="ij")
    disc = torch.exp(-(x**2 + y**2) / 50)[None, None]
    middle = x**2 + y**2 < 12**2  # farther out, what is mirrored at the edge comes in
    rotated = Rotate(180.0)(disc.expand(4, 1, 41, 61), generator())
    assert torch.allclose(rotated[..., middle], disc[..., middle], atol=0.01)
    larger = Scale(1.5, 1.5)(disc, generator())
    assert torch.allclose(larger[..., middle], torch.exp(-(x**2 + y**2) / 112.5)[None, None][..., middle], atol=0.01)
    assert transform(disc, [Scale(1.5, 1.5), Rotate(5.0)], generator()).shape == disc.shape


def test_colours_and_magnitudes_are_those_of_the_probe():
    mixing = torch.tensor([[1.0, 0.9, 0.2], [0.0, 0.5, 0.1], [0.0, 0.0, 0.05]])
    images = (torch.randn(200, 10, 8, 3, generator=generator()) @ mixing).movedim(3, 1)
    statistics = ImageStatistics.of(images)
    pictures = statistics.pictures(images)
    assert torch.allclose(statistics.inputs(pictures), images, atol=1e-5)
    covariance = pictures.movedim(1, 0).flatten(1).cov()
    assert torch.allclose(statistics.colours @ statistics.colours, covariance, rtol=1e-3, atol=1e-6)
    parameters = Fourier(noise=0.3).start(300, statistics, generator())
    drawn = Fourier().pictures(parameters, statistics).movedim(1, 0).flatten(1)
    assert torch.allclose(drawn.corrcoef(), pictures.movedim(1, 0).flatten(1).corrcoef(), atol=0.1)
    phases = MagnitudeConstrained().start(2, statistics, generator())
    spectrum = torch.fft.rfft2(
        torch.fft.irfft2(torch.polar(statistics.magnitude.expand_as(phases), phases), s=(10, 8), norm="ortho"),
        norm="ortho",
    )
    inner = (slice(None), slice(None), slice(1, 5), slice(1, 4))  # elsewhere real pictures couple the phases
    assert torch.allclose(spectrum.abs()[inner], statistics.magnitude.expand_as(phases)[inner], rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rotate(math.nan), "degrees: must be a number ≥ 0, found nan"),
        (lambda: Scale(0, 1), "smallest: must be a number > 0, found 0"),
        (lambda: Scale(1.1, 0.9), "largest: must be at least smallest, 1.1, found 0.9"),
        (lambda: Pad(1, -1.0), "value: must be a number ≥ 0"),
        (lambda: Fourier(decay=-1), "decay: must be a number ≥ 0"),
        (lambda: Pixels(noise=None), "noise: must be a number ≥ 0"),
        (lambda: Adam(-0.1), "learning_rate: must be a number > 0, found -0.1"),
        (lambda: Adam(beta1=1), "beta1: must be a number from 0 to below 1, found 1"),
        (lambda: NormalizedAscent(math.nan), "learning_rate: must be a number > 0"),
        (lambda: Settings(transforms=Jitter(1)), "transforms: must be of type tuple, found Jitter"),
        (lambda: Settings(transforms=(2,)), "transforms: must be of type Transform, found int"),
        (lambda: Settings(Adam()), "parametrization: must be of type Parametrization, found Adam"),
        (lambda: Settings(variation_limit="low"), "variation_limit: must be a number ≥ 0"),
    ],
)
def test_wrong_options_are_refused_where_they_are_given(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
