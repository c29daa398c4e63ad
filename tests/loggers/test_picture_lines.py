"""The last pictures of a run, in a file beside its JSON lines."""

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens, JSONLinesSink, read_jsonl, write_jsonl
from lightning_factorlens.measurements import ConceptQuality, SemanticHierarchy, UnitPictures


@pytest.fixture(scope="module")
def observations():
    """The observations of a small network at two epochs; the second one has pictures of concepts alone."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    images = torch.rand(40, 3, 8, 8)
    every = [ConceptQuality(rank=2), SemanticHierarchy(), UnitPictures(layers=("0",), count=1)]
    first = FactorLens(model, outputs="classes", measurements=every).observe(images, epoch=0, step=1)
    second = FactorLens(model, outputs="classes", measurements=every[:1]).observe(images, epoch=1, step=2)
    return first, second


def test_every_measurement_keeps_its_last_pictures(observations, tmp_path):
    sink = JSONLinesSink(tmp_path / "run.jsonl")
    for observation in observations:
        sink.write(observation)
        sink.complete(observation)
    first, second = read_jsonl(tmp_path / "run.jsonl")
    assert first["concept_quality"].page is None
    given, kept = observations[1]["concept_quality"].page, second["concept_quality"].page
    assert kept.named_by == given.named_by
    for card, same in zip(kept.cards, given.cards):
        assert (card.number, card.name, card.clarity) == (same.number, same.name, same.clarity)
        assert card.top_images.tolist() == same.top_images.tolist()
        for name in ("latent", "colour", "top", "masked", "nearest"):
            picture, whole = getattr(card.pictures, name), getattr(same.pictures, name).double()
            torch.testing.assert_close(picture, whole, atol=0.51 / 255 * float(whole.max() - whole.min()), rtol=0)
    diagram, found = first["semantic_hierarchy"].diagram, first["unit_pictures"].found
    assert diagram.layer == "0"
    assert torch.equal(diagram.shares, observations[0]["semantic_hierarchy"].diagram.shares)
    assert found.exemplar_pictures(0).shape == (9, 3, 8, 8)


def test_a_resumed_run_keeps_the_pictures_of_before_and_a_new_one_does_not(observations, tmp_path):
    first, second = observations
    JSONLinesSink(tmp_path / "run.jsonl").write(first)
    JSONLinesSink(tmp_path / "run.jsonl").write(second)
    assert read_jsonl(tmp_path / "run.jsonl")[0]["unit_pictures"].found is not None
    JSONLinesSink(tmp_path / "run.jsonl", pictures=False).write(first)
    assert not (tmp_path / "run.pictures").exists()
    write_jsonl(observations, tmp_path / "run.jsonl")
    assert (tmp_path / "run.pictures").exists()
    write_jsonl([o.without_tensors() for o in observations], tmp_path / "run.jsonl")
    assert not (tmp_path / "run.pictures").exists()


def test_a_damaged_file_of_pictures_is_named(observations, tmp_path):
    JSONLinesSink(tmp_path / "run.jsonl").write(observations[1])
    (tmp_path / "run.pictures").write_text("{}\n")
    with pytest.raises(ValueError, match=r"run.pictures, line 1: no pictures"):
        read_jsonl(tmp_path / "run.jsonl")
