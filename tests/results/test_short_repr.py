"""Records of concepts say in one line what they hold."""

import pytest
import torch
from made_concepts import image_concepts

from lightning_factorlens.concepts import concept_page, match_concepts, name_concepts, neighbours, utilisation
from lightning_factorlens.concepts.stability import ConceptStability


@pytest.fixture(scope="module")
def concepts():
    return image_concepts(torch.rand(3, 3, 8, 8))


def records(concepts):
    page = concept_page(concepts)
    yield from (page, page.cards[0], page.cards[0].pictures)
    names = name_concepts(concepts, [0, 0, 1, 1, 1])
    yield from (names, names["labels"], neighbours(concepts))
    use = utilisation(concepts, "concepts")
    yield from (use, use.layers[0], concepts.blocks[0])
    yield ConceptStability(concepts, {"seeds": match_concepts(concepts, concepts).cosine[None]}, 0.2, 0.7)


def test_no_repr_prints_the_values_of_tensors(concepts):
    for record in records(concepts):
        text = repr(record)
        assert text.startswith(f"{type(record).__name__}(")
        assert "tensor([" not in text
        assert "\n" not in text


def test_tensors_have_their_shape_and_records_their_number(concepts):
    text = repr(concept_page(concepts))
    assert text.startswith("ConceptPage(cards=<3 × ConceptCard>, n_images=5")
    assert "W=tensor(64, 3)" in repr(concepts.blocks[0])


def test_a_notebook_shows_what_print_shows(concepts):
    names = name_concepts(concepts, [0, 0, 1, 1, 1])
    assert names._repr_html_() == f"<pre>{names}</pre>"
    assert "purity" in names._repr_html_()
