import math

import pytest
import torch
from scipy.stats import binom
from torch import nn

from lightning_factorlens.visualization.health_tests import HealthCounts, benjamini_hochberg, count_units, decide
from lightning_factorlens.visualization.node_health import node_health


def planted_maps(n, seed):
    """Maps of 40 units: 0 is dead, 1 is active in 1 of 1,000 images, 2 and 3 are so in one or two pixels, 4 … in all."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(n, 40, 6, 6, generator=generator) - 0.3
    maps[:, 0] = -1.0
    maps[:, 1] = -1.0
    maps[: max(n // 1000, 1), 1, 0, 0] = 1.0
    maps[:, 2:4] = -1.0
    pixel = torch.randint(0, 35, (n,), generator=generator)
    maps[:, 2].flatten(1).scatter_(1, pixel[:, None], 1.0)
    maps[:, 3].flatten(1).scatter_(1, torch.stack([pixel, pixel + 1], 1), 1.0)
    return maps


def test_planted_units_are_found_and_no_other():
    for seed in range(3):
        health = decide("layer", count_units(planted_maps(1000, seed)), 0.01, 0.05)
        assert health.verdicts[:4] == ("dead", "rare", "single pixel", "single pixel")
        assert health.units("active") == list(range(4, 40))
        assert health.flagged_share == 0.1


def test_below_the_images_that_the_units_need_all_is_undecided():
    needed = math.ceil(math.log(40 / 0.05) / 0.01)
    for n, is_decided in ((needed - 1, False), (needed, True)):
        health = decide("layer", count_units(planted_maps(n, 0)), 0.01, 0.05)
        assert health.images_needed == needed and health.is_decided == is_decided
        assert (health.verdicts[0] == "dead") == is_decided
        assert set(health.verdicts) == {"undecided"} or is_decided
    adapted = decide("layer", count_units(planted_maps(200, 0)), None, 0.05)
    assert adapted.is_decided and adapted.verdicts[0] == "dead"
    assert math.isclose(adapted.rate, math.log(40 / 0.05) / 200)


def test_p_values_are_binomial_and_healthy_units_are_flagged_at_the_stated_rate():
    generator = torch.Generator().manual_seed(0)
    fires = torch.distributions.Binomial(1000, torch.full((20_000,), 0.01)).sample().long()  # on the border: the worst
    single = torch.from_numpy(binom.rvs(fires.numpy(), 0.5, random_state=0))
    del generator
    health = decide("layer", HealthCounts(1000, fires, single), 0.01, 0.05)
    assert len(health.units("dead", "rare", "single pixel")) <= 0.05 * 20_000
    assert torch.allclose(health.p_lazy[:50], torch.from_numpy(binom.cdf(fires[:50].numpy(), 1000, 0.01)))
    assert health.units("undecided")  # of units that are active in few images
    sorted_p = torch.tensor([0.001, 0.01, 0.039, 0.05, 0.5])
    assert torch.allclose(benjamini_hochberg(sorted_p), torch.tensor([0.005, 0.025, 0.0625, 0.0625, 0.5]))


def test_a_model_is_tested_in_one_pass_over_its_activation_functions():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(True), nn.Flatten(), nn.Linear(8 * 36, 6), nn.ReLU(), nn.Linear(6, 2)
    )
    model[0].bias.data[3] = -100.0
    model[3].bias.data[:] = torch.tensor([1.0, 1, 1, 1, 1, -100])
    images = torch.rand(700, 1, 8, 8)
    found = node_health(model, images)
    assert list(found.layers) == ["1", "4"]
    assert found["1"].verdicts[3] == found["4"].verdicts[5] == "dead"
    assert found["4"].single_pixel is None and found["1"].fires[3] == 0
    counts = count_units(model[:2](images))
    assert torch.equal(found["1"].fires, counts.fires) and torch.equal(found["1"].single_pixel, counts.single_pixel)
    table = found.table(untrained=node_health(model, images, ["1"]))
    assert "untrained dead" in table and "do not find memorisation" in table
    assert "undecided, since 700 images are fewer" in node_health(model, images, rate=0.001).table()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 0}, "rate: must be a number above 0 and below 1, found 0"),
        ({"level": None}, "level: must be a number above 0 and below 1, found None"),
        ({"layers": ["x"]}, "layer: no call is named 'x'"),
        ({"layers": "1"}, "layers: must be a list with at least one name of a layer, or None, found '1'"),
        ({"layers": []}, r"layers: must be a list with at least one name of a layer, or None, found \[\]"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        node_health(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.rand(4, 3), **arguments)
    with pytest.raises(ValueError, match="layers: the model has no activation function"):
        node_health(nn.Linear(3, 2), torch.rand(4, 3))


def test_units_whose_outputs_are_nan_are_not_called_dead():
    images = torch.rand(400, 3)
    images[7] = torch.nan
    with pytest.raises(ValueError, match="layer: the outputs of '1' have NaN; remove such values"):
        node_health(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), images)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU()), (4, 6, 7)),
        (nn.Sequential(nn.Conv1d(7, 5, 3), nn.ReLU(), nn.BatchNorm1d(5), nn.ReLU()), (7, 30)),
        (nn.Sequential(nn.Linear(7, 5), nn.GELU(), nn.LayerNorm(5), nn.ReLU()), (9, 7)),
    ],
)
def test_units_are_on_the_last_axis_behind_a_linear_layer_and_on_axis_1_behind_a_convolution(model, shape):
    found = node_health(model, torch.rand(3, *shape), rate=0.5)
    assert [len(layer.verdicts) for layer in found.layers.values()] == [5, 4 if len(shape) == 3 else 5]
