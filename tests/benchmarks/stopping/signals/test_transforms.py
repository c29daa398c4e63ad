"""What the transforms do to images, and that they leave images and model bit for bit as they were."""

import copy

import pytest
import scipy.ndimage
import torch
from torch import nn

from benchmarks.stopping.signals.transforms import (
    GaussianNoise,
    HorizontalFlip,
    InputDropout,
    Transform,
    Translate,
    WeightNoise,
    diagonal_shifts,
    grid_shifts,
    transformed_outputs,
)
from lightning_factorlens.metrics.consistency import alternating_shift

MODES = {"wrap": "grid-wrap", "edge": "nearest", "zero": "constant"}


def probe(n=6):
    return torch.rand(n, 2, 9, 7, generator=torch.Generator().manual_seed(0))


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 35, 5), nn.ReLU(),
        nn.Linear(5, 3),
    )  # fmt: skip


@pytest.mark.parametrize("fill", MODES)
@pytest.mark.parametrize("way", [(1, 0), (-2, 3), (0, -7), (0.5, 0), (-1.25, 2.75), (12, 1)], ids=str)
def test_shifts_of_any_size_and_direction_are_scipys(way, fill):
    images = probe()
    moved = Translate(*way, fill=fill).images(images)
    expected = scipy.ndimage.shift(images.double().numpy(), (0, 0, *way), order=1, mode=MODES[fill])
    if fill == "zero":  # scipy leaves out a pixel that lies half outside; bilinear sampling over zeros fades it
        inside = (slice(None), slice(None), slice(2, 7), slice(3, 4))
        if abs(way[0]) < 3 and abs(way[1]) < 4:
            assert torch.allclose(moved[inside].double(), torch.from_numpy(expected)[inside], atol=1e-6)
        whole = Translate(3, -2, fill="zero").images(images)
        assert torch.equal(whole[..., 3:, :-2], images[..., :-3, 2:])
        assert not whole[..., :3, :].any() and not whole[..., -2:].any()
    else:
        assert torch.allclose(moved.double(), torch.from_numpy(expected), atol=1e-6)
    assert torch.equal(images, probe())


def test_sets_of_shifts():
    images = probe()
    there, back = (t.images(images) for t in diagonal_shifts(2))
    in_turn = alternating_shift(images, 2)
    assert torch.equal(in_turn[0::2], there[0::2]) and torch.equal(in_turn[1::2], back[1::2])
    ways = {(t.down, t.right) for t in grid_shifts(1)}
    assert len(ways) == 8 and (0, 0) not in ways
    with pytest.raises(ValueError, match="fill: found 'mirror', allowed are 'wrap', 'edge', 'zero'"):
        Translate(1, 1, fill="mirror")


def test_flip_and_noise():
    images = probe()
    assert torch.equal(HorizontalFlip().images(HorizontalFlip().images(images)), images)
    assert torch.equal(HorizontalFlip().images(images)[..., 0], images[..., -1])
    noisy = GaussianNoise(0.1, seed=1).images(100 * probe(400))
    difference = noisy - 100 * probe(400)
    assert float(difference.std()) == pytest.approx(0.1 * float(100 * probe(400).std()), rel=0.02)
    assert torch.equal(GaussianNoise(0.1, seed=1).images(images), GaussianNoise(0.1, seed=1).images(images))


@pytest.mark.parametrize(
    "transform", [Translate(1, 0), HorizontalFlip(), GaussianNoise(0.3), InputDropout(0.5), WeightNoise(0.3)], ids=str
)
def test_outputs_change_and_the_model_does_not(transform):
    model, images = net(), probe()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    plain, moved, again = transformed_outputs(model, images, [Transform(), transform, transform])
    assert moved.shape == (6, 3)
    assert not torch.allclose(plain, moved)
    assert torch.equal(moved, again)  # a fixed disturbance, equal at every observation
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert model.training and not any(m._forward_pre_hooks for m in model.modules())


def test_the_weights_come_back_when_the_model_fails():
    model = net()
    before = copy.deepcopy(model.state_dict())

    def fail(_):
        assert not torch.equal(model[0].weight, before["0.weight"])
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        transformed_outputs(model, probe(), [WeightNoise(0.5)], fail)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_sizes_of_the_disturbances():
    model = nn.Linear(200, 300)
    before = model.weight.detach().clone()
    with WeightNoise(0.2).model(model):
        change = (model.weight.detach() - before).square().mean().sqrt()
    assert float(change / before.square().mean().sqrt()) == pytest.approx(0.2, rel=0.02)
    model.weight.data.fill_(1 / 200), model.bias.data.zero_()
    with InputDropout(0.25).model(model):
        mean = model(torch.ones(500, 200)).detach().mean(0)[0]
    assert float(mean) == pytest.approx(1, rel=0.02)


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match=r"p: must be at least 0 and below 1, found 1\.0"):
        InputDropout(1.0)
    with pytest.raises(ValueError, match=r"no nn\.Linear"):
        transformed_outputs(nn.Sequential(nn.Conv2d(2, 3, 9), nn.Flatten()), probe(), [InputDropout(0.5)])
    with pytest.raises(ValueError, match=r"no \(N, K\) tensor"):
        transformed_outputs(nn.Conv2d(2, 3, 3), probe(), [HorizontalFlip()])
