import pytest
import torch
from made_signals import class_signals, make_signals

from lightning_factorlens.hierarchy import hierarchy, hierarchy_report, significance
from lightning_factorlens.results import Observation
from lightning_factorlens.results.serialization import from_json, to_json


def report(strength, untrained_strength=None, q=0.8, p=0.75):
    signals, labels = class_signals(strength=strength)
    found = hierarchy(significance(signals, q), labels, p)
    untrained = []
    if untrained_strength is not None:
        untrained = [class_signals(strength=untrained_strength, seed=seed)[0] for seed in (7, 8)]
    return hierarchy_report(found, signals, untrained, permutations=60, resamples=20)


def test_a_hierarchy_that_stands_out_is_said_to_and_its_numbers_are_in_the_text():
    found = report(3.0, 0.0)
    assert found.warning == ""
    text = found.summary()
    assert f"{found.stability.survivors} of {len(found.hierarchy.equivalence)} classes of vectors survive 95 %" in text
    assert "a permuted labelling gives 0." in text
    assert "the trained one has more nodes and more classes of vectors" in text
    assert "Among 3 equal networks a given one is outermost in a size with probability 0.67" in text
    assert f"{100 * found.share.share:.0f} % of the variance" in text
    assert "undecided at 95 %" in text
    assert "cannot be told" not in text
    assert found.table().startswith("node")
    restored = from_json(to_json(Observation(0, 0, {"hierarchy": found})))["hierarchy"]
    assert restored.summary() == text
    assert repr(restored) == repr(found)
    assert {value.quantity for value in found.values()} >= {"class_share", "permuted_depth", "stable_classes"}


def test_what_cannot_be_told_apart_is_said_plainly():
    assert report(0.0, 0.0, q=0.5, p=0.5).warning == (
        "cannot be told from permuted labels or from untrained weights by its sizes"
    )
    like = report(3.0, 3.0)
    assert like.warning == "cannot be told from untrained weights by its sizes"
    assert "these sizes say nothing about training" in like.summary()
    assert like.summary().endswith(f"The hierarchy {like.warning}.")
    assert "not compared with untrained weights" in report(3.0).summary()


def test_an_empty_hierarchy_has_a_report():
    signals = make_signals(torch.zeros(12, 2))
    found = hierarchy_report(hierarchy(significance(signals), [0, 1] * 6), signals, [signals], 5, 5)
    assert found.warning == "cannot be told from permuted labels or from untrained weights by its sizes"
    assert "0 of 0 classes of vectors survive" in found.summary()
    assert "do not vary" in found.summary()


def test_signals_of_another_layer_are_refused():
    signals, labels = class_signals()
    other, _ = class_signals(layer="fc2")
    found = hierarchy(significance(signals), labels)
    with pytest.raises(ValueError, match="^signals: found those of layer 'fc2'; the hierarchy is that of 'fc1'"):
        hierarchy_report(found, other)
    with pytest.raises(ValueError, match="^untrained: found those of layer 'fc2'"):
        hierarchy_report(found, signals, [other])
    with pytest.raises(ValueError, match="^untrained: must be a list"):
        hierarchy_report(found, signals, signals)
