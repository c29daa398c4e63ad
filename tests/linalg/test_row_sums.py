"""Which tensors count as probabilities: softmaxes of every dtype do, logits do not."""

import pytest
import torch

from lightning_factorlens.linalg.row_sums import sums_to_one

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def scores(n=256, k=10, seed=0, scale=4.0):
    return scale * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [2, 10, 1000])
def test_a_softmax_of_every_dtype_is_recognised_also_after_a_conversion(dtype, k):
    z = scores(k=k).to(dtype)
    by_hand = (z - z.amax(1, keepdim=True)).exp()
    for p in (z.softmax(1), by_hand / by_hand.sum(1, keepdim=True)):
        assert sums_to_one(p)
        assert sums_to_one(p.float())
        assert sums_to_one(p.T.contiguous(), 0)
        assert not sums_to_one(p.log())
        for n in (1, 2, 3):
            assert sums_to_one(p[:n])


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_are_not(dtype):
    assert not sums_to_one(scores().to(dtype))
    assert not sums_to_one(scores().abs().to(dtype))
    assert not sums_to_one(torch.zeros(4, 3, dtype=dtype))
    assert not sums_to_one(torch.tensor([[0.5, 0.5], [0.5, 0.53]], dtype=dtype))
    assert not sums_to_one(torch.tensor([[1.5, -0.5]], dtype=dtype))


def test_one_row_decides_for_no_other_and_nan_for_none():
    p = scores().softmax(1)
    p[3] = torch.nan
    assert sums_to_one(p)
    p[4] = 0.0
    assert not sums_to_one(p)
    assert not sums_to_one(torch.full((2, 3), torch.nan))
    assert not sums_to_one(torch.zeros(0, 3))
    assert not sums_to_one(torch.full((2, 3), torch.inf))
