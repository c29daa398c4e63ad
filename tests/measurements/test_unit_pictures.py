"""Pictures of singular vectors while a model is trained."""

import math
import pickle

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.measurements import UnitPictures
from lightning_factorlens.results.serialization import from_json, to_json
from lightning_factorlens.visualization import leading_vectors


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)
    ).train()


def test_pictures_are_those_of_the_lens_at_every_nth_observation():
    model, images = network(), torch.rand(24, 1, 8, 8)
    lens = FactorLens(model, LensOptions(ranks=(1, 2)), [UnitPictures(("0", "4"), count=2, every=2)])
    before, random_state = pickle.dumps(model.state_dict()), torch.get_rng_state()
    observations = [lens.observe(images, epoch=epoch) for epoch in range(3)]
    assert pickle.dumps(model.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [observation.get("unit_pictures") is not None for observation in observations] == [True, False, True]
    record = observations[2]["unit_pictures"]
    assert record.found.names == ("0 vector 0", "4 vector 0", "0 vector 1", "4 vector 1")
    objectives = [*leading_vectors(model, "0", 2), *leading_vectors(model, "4", 2)]
    alone = lens.visualize(images, [objectives[index] for index in (0, 2, 1, 3)], "natural")
    assert torch.equal(record.found.pictures, alone.pictures)
    assert [value.scope for value in record.values()] == ["0", "0", "4", "4"]
    assert all(math.isfinite(value.value) for value in record.values())
    figure = UnitPictures.figures[0].draw(observations)
    assert "epoch 2" in figure.texts[0].get_text()
    restored = from_json(to_json(observations[2]))["unit_pictures"]
    assert restored.found is None
    assert list(restored.values()) == list(record.values())
    assert UnitPictures.figures[0].draw(observations[:2]) is None


def test_inputs_that_are_no_images_get_a_note():
    lens = FactorLens(nn.Sequential(nn.Linear(6, 4), nn.Tanh()), LensOptions(ranks=(1,)), [UnitPictures(("0",))])
    observation = lens.observe(torch.rand(12, 6))
    assert observation.get("unit_pictures") is None
    assert "no images" in "\n".join(observation.notes)


def test_a_layer_that_starts_at_zero_has_no_pictures_until_training_changes_it():
    model = network()
    nn.init.zeros_(model[4].weight)
    lens = FactorLens(model, LensOptions(ranks=(1, 2)), [UnitPictures(("4",), count=2)])
    images = torch.rand(24, 1, 8, 8)
    first = lens.observe(images)
    assert first.get("unit_pictures") is None
    assert "the weights of '4' are zero or not finite" in "\n".join(first.notes)
    nn.init.eye_(model[4].weight)
    assert lens.observe(images)["unit_pictures"].found.names == ("4 vector 0", "4 vector 1")


@pytest.mark.parametrize("wrong", [{"layers": "0"}, {"layers": ()}, {"layers": ("0",), "preset": "nice"}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=r"layers: must be|preset: found"):
        UnitPictures(**wrong)
