import math

import pytest
import torch
from made_signals import class_signals, make_signals

from lightning_factorlens.hierarchy import hierarchy, seed_agreement, significance


def made(strength=3.0, q=0.8, p=0.75, seed=0, **changes):
    signals, labels = class_signals(strength=strength, seed=seed, **changes)
    return hierarchy(significance(signals, q), labels, p)


@pytest.mark.parametrize("kind", ["bootstrap", "halves"])
def test_planted_classes_survive_and_those_of_noise_do_not(kind):
    strong = made(strength=20.0).stability(20, kind=kind, permutations=3)
    assert strong.survivors >= len(strong.survival) - 2
    assert strong.mean_agreement > 0.9
    noise = made(strength=0.0, q=0.5, p=0.5).stability(20, kind=kind, permutations=3)
    assert noise.survivors == 0
    assert noise.mean_agreement < 0.5
    assert strong.permuted_survivors == (0, 0, 0)
    assert strong.sizes.shape == noise.sizes.shape == (20, 3)


def test_a_resample_is_the_hierarchy_of_some_images_with_their_own_quantile():
    found = made()
    rows = torch.arange(0, 180, 2)
    signals, labels = class_signals(strength=3.0)
    alone = hierarchy(significance(make_signals(signals.values[rows]), 0.8), labels[rows])
    part = hierarchy(found.significance.rows(rows), labels[rows])
    assert part.class_sets == alone.class_sets


def test_permuted_labels_are_excluded_where_classes_differ_alone():
    assert made().null(100).p_value < 0.05
    assert made(strength=0.0, q=0.5, p=0.5).null(100).p_value > 0.05
    null = made().null(7, seed=3)
    assert torch.equal(null.permuted, made().null(7, seed=3).permuted)
    assert null.mean("depth") == float(null.permuted[:, 2].mean())


def test_without_equivalence_classes_there_is_nothing_to_survive():
    stability = made(q=1.0).stability(3)
    assert stability.survivors == 0
    assert math.isnan(stability.mean_agreement)
    assert made(q=1.0).null(3).p_value == 1.0


def test_networks_agree_as_far_as_their_sets_of_classes():
    same = seed_agreement([made(), made(), made()])
    assert same.jaccard == (1.0, 1.0, 1.0)
    assert same.p_value < 0.05
    assert "a mean Jaccard index of 1.00 (permuted names" in same.summary()
    other = seed_agreement([made(seed=0), made(seed=1)])
    assert abs(other.mean - other.chance) < 0.1
    assert other.p_value > 0.05
    with pytest.raises(ValueError, match="hierarchies: must be at least two, found 1"):
        seed_agreement([made()])
    with pytest.raises(ValueError, match="hierarchies: must be a list of what"):
        seed_agreement(made())
    with pytest.raises(ValueError, match="hierarchies: must have the same classes"):
        seed_agreement([made(), made(n_classes=5)])


def test_wrong_arguments_are_named():
    found = made()
    for match, changes in {
        "n: must be a whole number": {"n": 0},
        "kind: found 'jackknife'": {"kind": "jackknife"},
        "permutations: must be": {"permutations": -1},
        "level: must be a number above 0": {"level": 0},
        "seed: must be a whole number": {"seed": 1.5},
    }.items():
        with pytest.raises(ValueError, match=match):
            found.stability(**changes)


def test_networks_without_sets_of_classes_are_said_to_have_none():
    signals, labels = class_signals()
    empty = hierarchy(significance(signals, q=1.0), labels)
    assert "nothing to compare" in seed_agreement([empty, empty]).summary()
    full = hierarchy(significance(signals, q=0.6), labels, p=0.5)
    assert seed_agreement([empty, empty, full]).mean == 0
