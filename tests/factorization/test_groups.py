"""Operations on groups of components, on the CPU and on an accelerator."""

import pytest
import torch
from fake_device import fake_device, to_fake_device

from lightning_factorlens.factorization import (
    ComponentGroups,
)


@pytest.mark.parametrize("sizes", [(1, 2, 2, 8), (3,), (4, 4)])
def test_operations_on_an_accelerator_equal_those_on_the_cpu(sizes):
    groups, T = ComponentGroups(sizes), torch.rand(sum(sizes), 20, dtype=torch.float64)
    expected = groups.grams(T)
    with fake_device():
        grams = groups.grams(to_fake_device(T))
        form = groups.quadratic_form(grams, to_fake_device(T)).cpu()
        expanded = groups.expand(to_fake_device(T[: len(sizes), 0])).cpu()
    assert all(torch.allclose(a, b.values) for a, b in zip(expected, grams))
    assert torch.allclose(groups.quadratic_form(expected, T), form)
    assert torch.allclose(form.sum(), sum(gram.square().sum() for gram in expected))  # ⟨T Tᵀ T, T⟩ = ‖T Tᵀ‖²
    assert torch.equal(groups.expand(T[: len(sizes), 0]), expanded)


def test_rows_and_sums_belong_to_their_group():
    groups = ComponentGroups((1, 2, 3))
    values = torch.arange(6.0)
    assert groups.slices == [slice(0, 1), slice(1, 3), slice(3, 6)]
    assert groups.rows([2, 0]).tolist() == [3, 4, 5, 0]
    assert groups.select([2, 0]).sizes == (3, 1)
    assert groups.sums(values).tolist() == [0.0, 3.0, 12.0]
    assert groups.expand(torch.tensor([7.0, 8.0, 9.0])).flatten().tolist() == [7.0, 8.0, 8.0, 9.0, 9.0, 9.0]
    assert len(groups) == 3 and [len(part) for part in groups.split(values)] == [1, 2, 3]
