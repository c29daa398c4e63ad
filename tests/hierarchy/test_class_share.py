import math
from dataclasses import replace

import pytest
import torch
from made_signals import class_signals, flipped, make_signals
from scipy.stats import f_oneway

from lightning_factorlens.hierarchy import class_share, semantic_structure


def test_the_share_is_that_of_an_analysis_of_variance():
    signals, labels = class_signals()
    found = class_share(signals, labels, 20)
    n, k = len(labels), int(labels.max()) + 1
    for vector, share in enumerate(found.by_vector.tolist()):
        F = f_oneway(*[signals.values[labels == c, vector].double().numpy() for c in range(k)]).statistic
        assert math.isclose(share, F * (k - 1) / (F * (k - 1) + n - k), rel_tol=1e-9)
    variance = signals.values.double().var(0)
    assert math.isclose(found.share, float((found.by_vector * variance).sum() / variance.sum()), rel_tol=1e-9)


def test_signs_change_no_bit_and_rotations_change_the_rounding():
    signals, labels = class_signals()
    found = class_share(signals, labels, 20)
    other = class_share(flipped(signals, 1)[0], labels, 20)
    assert (found.share, found.p_value) == (other.share, other.p_value)
    assert torch.equal(found.permuted, other.permuted)
    rotation = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(0)))[0]
    rotated = class_share(make_signals(signals.values @ rotation), labels, 20)
    assert math.isclose(found.share, rotated.share, rel_tol=1e-5)


def test_permuted_labels_have_the_expected_share():
    signals, labels = class_signals(strength=0.0)
    found = class_share(signals, labels)
    assert found.p_value > 0.05
    assert math.isclose(float(found.permuted.mean()), found.expected, rel_tol=0.05)
    assert class_share(class_signals()[0], labels, 99).p_value == 0.01


def test_edge_cases_give_a_value():
    signals, labels = class_signals()
    assert class_share(signals, torch.zeros_like(labels), 3).share < 1e-20
    constant = class_share(make_signals(torch.ones(6, 2)), [0, 0, 0, 1, 1, 1])
    assert math.isnan(constant.share) and math.isnan(constant.p_value)
    third = replace(make_signals(torch.ones(41, 2)), values=torch.full((41, 2), 1 / 3, dtype=torch.float64))
    assert math.isnan(class_share(third, [0, 1] * 20 + [0]).share)
    groups = {0: "a", 1: "a", 2: "b"}
    assert math.isnan(semantic_structure(third, [0, 1, 2] * 13 + [0, 1], groups).correlation)
    some = class_share(signals, labels.where(labels < 3, -1), 3)
    alone = class_share(make_signals(signals.values[labels < 3]), labels[labels < 3], 3)
    assert some.share == alone.share
    with pytest.raises(ValueError, match="layer 'fc1' has NaN"):
        class_share(make_signals(signals.values.clone().fill_(torch.nan)), labels)
