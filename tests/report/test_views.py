"""What a report shows of a checkpoint, and of a record with and without its pictures."""

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.measurements import ConceptQuality, SemanticHierarchy
from lightning_factorlens.report import Subject
from lightning_factorlens.report.parts import Gallery, Group, Table, Text
from lightning_factorlens.report.sections.concepts import CONCEPTS
from lightning_factorlens.report.sections.hierarchy import HIERARCHY
from lightning_factorlens.report.views import PictureRequest, with_unit_pictures, with_untrained_hierarchy

IMAGES = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def make_lens(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    return FactorLens(model, outputs="classes", measurements=[ConceptQuality(rank=2), SemanticHierarchy()])


@pytest.fixture(scope="module")
def observed():
    lens = make_lens(0)
    return lens, lens.observe(IMAGES)


def flat(parts):
    """All parts, those of groups after the group."""
    for part in parts:
        yield part
        if isinstance(part, Group):
            yield from flat(part.parts)


def texts(parts):
    return " ".join(part.text for part in flat(parts) if isinstance(part, Text))


def test_pictures_that_would_take_too_long_are_fewer_and_the_observation_says_so(observed):
    lens, observation = observed
    found = with_unit_pictures(observation, lens, IMAGES, PictureRequest(count=3, layers=("3",), seconds=0))
    assert len(found["unit_pictures"].found) == 1
    assert any("1 instead of 3 in each layer" in note for note in found.notes)
    assert with_unit_pictures(observation, lens, IMAGES, PictureRequest(count=0)) is observation
    with pytest.raises(ValueError, match="'misspelt' has no singular vectors"):
        with_unit_pictures(observation, lens, IMAGES, PictureRequest(layers=("misspelt",)))


def test_a_hierarchy_stands_beside_untrained_networks_and_has_the_words_of_the_classes(observed):
    lens, observation = observed
    found = with_untrained_hierarchy(observation, lens, IMAGES, [make_lens(1)])
    subject = Subject("net", "", (found,), class_names=("cat", "dog", "bird"))
    parts = HIERARCHY.build([subject])
    assert "untrained network" in texts(parts)
    cells = [cell for part in flat(parts) if isinstance(part, Table) for row in part.rows for cell in row]
    assert any("cat" in cell or "dog" in cell or "bird" in cell for cell in cells)


def test_concepts_are_shown_with_their_images_or_say_how_to_get_them(observed):
    _, observation = observed
    whole = CONCEPTS.build([Subject("net", "", (observation,))])
    galleries = [part for part in flat(whole) if isinstance(part, Gallery)]
    assert [len(gallery.pictures) for gallery in galleries] == [3, 3]
    numbers = CONCEPTS.build([Subject("net", "", (observation.without_tensors(),))])
    assert "(.pictures)" in texts(numbers)
    assert any(len(part.rows) == 2 for part in flat(numbers) if isinstance(part, Table))


def test_concepts_of_two_networks_with_the_same_images_are_matched(observed):
    _, observation = observed
    both = CONCEPTS.build([Subject("a", "", (observation,)), Subject("b", "", (observation,))])
    table = both[0].parts[-1]
    assert [row[0] for row in table.rows] == [row[1] for row in table.rows]
    assert {row[2] for row in table.rows} == {"16 of 16"}
