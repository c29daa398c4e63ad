"""What a TCAV result says: agreement, shares and tables."""

import math

import pytest
import torch

from lightning_factorlens.results import TCAVResult


def made(mean_derivative, p=0.5, sign=0.5, names=(0, 2), classes=(0, 2, 5), layers=("a", "b")):
    mean = torch.as_tensor(mean_derivative, dtype=torch.float64)
    full = torch.full_like(mean, math.nan)
    missing = mean.isnan()
    return TCAVResult(
        layers=layers,
        classes=classes,
        class_counts=torch.ones(len(classes)).long(),
        image_classes=torch.tensor(list(classes)),
        concept_classes=names,
        vector_kind="mean",
        vectors=tuple(torch.zeros(mean.shape[2], 4) for _ in layers),
        kept_features=(None,) * len(layers),
        count=2,
        draws=10,
        sign_count=torch.full_like(mean, sign).masked_fill(missing, math.nan),
        mean_derivative=mean,
        p_value=torch.full_like(mean, p),
        p_corrected=torch.full_like(mean, p).masked_fill(missing, math.nan),
        closed_form=full,
    )


TWO_LAYERS = [[[3.0, 1.0], [1.0, 0.5], [0.0, 0.0]], [[3.0, math.nan], [1.0, math.nan], [0.0, math.nan]]]


def test_agreement_counts_concepts_with_both_names():
    result = made(TWO_LAYERS)
    assert result.strongest_classes().tolist() == [[0, 0], [0, -1]]
    assert result.agreement().tolist() == [0.5, 1.0]
    assert result.agreement(closed_form=True).isnan().all()
    assert made(TWO_LAYERS, names=(None, 2)).agreement().nan_to_num(-1).tolist() == [0.0, -1.0]


def test_shares_leave_out_concepts_without_numbers():
    result = made(TWO_LAYERS, p=0.01, sign=1.0)
    assert result.significant_share().tolist() == [1.0, 1.0]
    assert result.significant_share(0.001).tolist() == [0.0, 0.0]
    assert result.constant_share().tolist() == [1.0, 1.0]
    assert made(TWO_LAYERS, sign=0.3).constant_share().tolist() == [0.0, 0.0]


def test_tables_show_both_networks_and_warn_where_one_is_missing():
    result = made(TWO_LAYERS)
    assert "without the untrained network beside it, significance proves nothing" in result.table()
    beside = result.table(made([TWO_LAYERS[0]], layers=("b",)))
    assert "untrained agreement" in beside
    assert beside.splitlines()[2].split() == ["a", "0.50", "-", "0.00", "0.00", "-", "-"]
    assert beside.splitlines()[3].split()[-2:] == ["0.50", "0.00"]
    other = made([[[1.0, 1.0]]] * 2, classes=(1,))
    assert "of the untrained network 1.00; pass it classes=trained.image_classes" in result.table(other)
    assert result.concept_table("a").splitlines()[3].split()[:4] == ["1", "2", "0", "1"]
    assert result.concept_table().splitlines()[3].split() == ["1", "2", "-", "-", "-", "-", "-"]
    with pytest.raises(KeyError, match="no layer 'c'; the layers are 'a', 'b'"):
        result.concept_table("c")
    assert repr(result) == "TCAVResult(2 layers, 3 classes, 2 concepts, agreement in b 1.00, chance 0.33)"


def test_results_without_layers_or_classes_can_be_shown():
    none = made(torch.zeros(1, 2, 0), names=(), classes=(0, 1), layers=("a",))
    assert none.agreement().isnan().all()
    empty = made(torch.zeros(1, 0, 2), classes=(), layers=("a",))
    assert empty.strongest_classes().shape == (1, 2)
