"""Names by labels, predictions, metadata or nothing."""

import math

import numpy as np
import pytest
import torch
from made_concepts import make_concepts
from small_lens import make_net, make_probe

from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import name_concepts, top_images
from lightning_factorlens.concepts.names import chance_purity


def some_concepts(n=30, rank=4, **options):
    return make_concepts(torch.rand(rank, n, generator=torch.Generator().manual_seed(0)), **options)


def test_scores_against_brute_force():
    concepts = some_concepts()
    labels = [i % 3 for i in range(30)]
    found = name_concepts(concepts, labels, count=8)["labels"]
    assert found.classes == (0, 1, 2)
    for k in range(4):
        row = concepts.F[k].tolist()
        for c in range(3):
            share = sum(f for f, label in zip(row, labels) if label == c) / sum(row)
            assert float(found.scores[k, c]) == pytest.approx(share, rel=1e-6)
        top = [labels[i] for i in top_images(concepts, k, 8).tolist()]
        assert float(found.purity[k]) == max(top.count(c) for c in range(3)) / 8
        assert found.names[k] == int(found.scores[k].argmax())
    torch.testing.assert_close(found.scores.sum(1), torch.ones(4, dtype=torch.float64))


WORDS = ["cat", "dog", "bird"] * 10
KINDS = {
    "list": WORDS,
    "array": np.array(WORDS),
    "numbers": torch.arange(30) % 3,
    "single tensors": list(torch.arange(30) % 3),
    "numpy numbers": list(np.arange(30) % 3),
    "floats": [0.5, math.nan, 2.5] * 10,
    "mixed": [1, "one", None] * 10,
    "bools": [True, False, True] * 10,
    "one class": [7] * 30,
    "all different": list(range(30)),
    "no values": [None] * 30,
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_kind_have_scores_that_sum_to_one(kind):
    found = name_concepts(some_concepts(), KINDS[kind])["labels"]
    assert len(found.classes) == {"bools": 2, "one class": 1, "all different": 30, "no values": 1}.get(kind, 3)
    torch.testing.assert_close(found.scores.sum(1), torch.ones(4, dtype=torch.float64))
    assert ((found.purity >= 0) & (found.purity <= 1)).all()


def test_images_without_a_value_are_of_no_class():
    F = torch.tensor([[9.0, 9.0, 1.0, 1.0]])
    found = name_concepts(make_concepts(F), [None, math.nan, "a", "a"])["labels"]
    assert found.classes == ("a", None)
    assert found.names == (None,)
    assert found.scores[0].tolist() == pytest.approx([0.1, 0.9])
    assert float(found.purity) == 0.5
    assert name_concepts(make_concepts(F), [None] * 4)["labels"].purity.tolist() == [0.0]


def test_names_by_the_models_own_predictions_are_the_default():
    predictions = torch.arange(30) % 2
    found = name_concepts(some_concepts(predictions=predictions))
    assert [column.column for column in found.columns] == ["predictions"]
    torch.testing.assert_close(found.agreement, found["predictions"].purity)
    with pytest.raises(ValueError, match="outputs='classes'"):
        name_concepts(some_concepts())
    with pytest.raises(ValueError, match="names: found 'classes'"):
        name_concepts(some_concepts(), "classes")


def test_columns_of_metadata():
    pandas = pytest.importorskip("pandas")
    columns = {"animal": WORDS, "site": [1, 2] * 15}
    found = name_concepts(some_concepts(), columns)
    framed = name_concepts(some_concepts(), pandas.DataFrame(columns))
    series = name_concepts(some_concepts(), pandas.Series(WORDS))["labels"]
    for column in ("animal", "site"):
        assert torch.equal(found[column].scores, framed[column].scores)
    assert torch.equal(series.scores, found["animal"].scores)
    with pytest.raises(KeyError, match="no column 'age'"):
        found["age"]


def test_without_names_there_is_the_clarity_alone():
    found = name_concepts(some_concepts(), None)
    assert found.columns == ()
    assert sorted(found.clearest()) == [0, 1, 2, 3]
    assert (found.clarity[found.clearest()].diff() <= 0).all()


def test_a_concept_of_which_nothing_is_left_has_no_name():
    F = torch.rand(3, 6)
    F[1] = 0
    names = name_concepts(make_concepts(F), [0, 1] * 3)
    found = names["labels"]
    assert found.names[1] is None
    assert found.scores[1].isnan().all()
    assert found.purity.isnan().tolist() == [False, True, False]
    assert names.clearest()[-1] == 1


def test_wrong_labels():
    with pytest.raises(ValueError, match="found 29 values for 30 images"):
        name_concepts(some_concepts(), [0] * 29)
    with pytest.raises(ValueError, match="is not one value"):
        name_concepts(some_concepts(), [[0]] * 30)
    for single in (5, torch.tensor(5), b"word"):
        with pytest.raises(ValueError, match="which is one value; give a sequence of 30"):
            name_concepts(some_concepts(), single)
    with pytest.raises(ValueError, match="^count: "):
        name_concepts(some_concepts(), [0] * 30, count=0)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images(n):
    names = name_concepts(FactorLens(make_net(), outputs="classes").concepts(make_probe(n), rank=n))
    assert names.count == n
    assert names.clarity.isnan().all() == (n == 1)


def test_chance_purity_of_two_of_four_images():
    # Two images of different classes in 4 of 6 draws: 2/6 · 1 + 4/6 · 0.5 = 2/3.
    assert chance_purity(torch.tensor([0, 0, 1, 1]), 2) == pytest.approx(2 / 3, abs=0.02)


def test_naming_changes_no_factor():
    concepts = some_concepts(predictions=torch.arange(30) % 2)
    before = concepts.F.clone()
    name_concepts(concepts, WORDS)
    assert torch.equal(concepts.F, before)


def test_class_names_are_the_words_for_predictions():
    concepts = some_concepts(predictions=torch.arange(30) % 3, probabilities=torch.ones(30, 3) / 3)
    numbers = name_concepts(concepts)["predictions"]
    words = name_concepts(concepts, class_names=["cat", "dog", "bird"])["predictions"]
    assert words.names == tuple(("cat", "dog", "bird")[number] for number in numbers.names)
    with pytest.raises(ValueError, match="^class_names: found .* for a model of 3 classes; give a list of one word"):
        name_concepts(concepts, class_names=["cat"])
    with pytest.raises(
        ValueError, match="^class_names: they are words for predicted classes, found names of type list"
    ):
        name_concepts(concepts, WORDS, class_names=["cat", "dog", "bird"])


def test_names_are_printed_as_a_table():
    names = name_concepts(some_concepts(), WORDS)
    header, _, first, *_, chance = str(names).splitlines()
    assert header.split() == ["concept", "clarity", "agreement", "labels", "score", "purity"]
    assert first.split()[0] == str(names.clearest()[0])
    assert first.split()[3] == names["labels"].names[names.clearest()[0]]
    assert chance == f"chance of purity by labels {names['labels'].chance:.2f}"
