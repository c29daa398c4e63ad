"""What figures of concepts show, collected in one record."""

import pytest
import torch
from made_concepts import image_concepts

from lightning_factorlens.concepts import ConceptStability, concept_page, name_concepts
from lightning_factorlens.plots import concept_sheet_figure

COSINE = {
    "seeds": torch.tensor([[0.9, 0.75, 0.9]], dtype=torch.float64),
    "halves": torch.tensor([[0.85, 0.95, 0.5]], dtype=torch.float64),
}


@pytest.fixture(scope="module")
def concepts():
    return image_concepts(torch.rand(3, 3, 8, 8))


def test_the_stability_of_a_page_is_the_lowest_median_with_its_own_threshold(concepts):
    page = concept_page(concepts, stability=ConceptStability(concepts, COSINE, chance=0.2, threshold=0.8))
    assert [page[k].stability for k in range(3)] == [0.85, 0.75, 0.5]
    assert [page[k].is_stable for k in range(3)] == [True, False, False]
    assert concept_page(concepts, stability=COSINE["seeds"][0])[1].is_stable  # of cosines alone, from 0.7


def test_the_numbers_of_classes_are_told_from_those_of_concepts(concepts):
    figure = concept_sheet_figure(concept_page(concepts, name_concepts(concepts, [4, 4, 4, 4, 4])))
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert {f"concept {k}: class 4 (1.00)" for k in range(3)} <= set(texts)
