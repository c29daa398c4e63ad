"""Factors with columns of unit norm."""

from types import SimpleNamespace

import pytest
import torch

from lightning_factorlens.factorization import (
    HALS,
    factorize,
    normalize_columns,
)


def test_exact_low_rank_data_are_fitted_with_unit_norm_columns(planted, stacked):
    blocks = planted(r=3, sizes=(50, 300), N=100)
    result = factorize(blocks, [3], solver=HALS(max_iter=2000, sample_tol=1e-12))
    W, scales = normalize_columns(result, 3)
    for block, w, s in zip(blocks, W, scales):
        assert torch.allclose(w.norm(dim=0), torch.ones(3, dtype=w.dtype))
        X = block.samples.T
        assert float((X - w @ torch.diag(s) @ result.F[0]).norm() / X.norm()) < 1e-4
    with pytest.raises(ValueError, match="rank: found 7, fitted are"):
        normalize_columns(result, 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-36, 1e-30, 1e-22, 1.0, 1e18, 1e30, 1e36])
def test_any_scale_gives_unit_norms_and_their_scales(scale, dtype):
    """Squares of float32 values above 1e19 overflow, and those below 1e-19 underflow."""
    W = torch.rand(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    W[:, 1] = 0
    result = SimpleNamespace(ranks=(3,), W=[[(W * scale).to(dtype)]])
    (found,), scales = normalize_columns(result, 3)
    norms = W.norm(dim=0)
    assert found.dtype == scales.dtype == dtype
    torch.testing.assert_close(found.double(), W / norms.where(norms > 0, 1.0), rtol=1e-6, atol=0)
    torch.testing.assert_close(scales[0].double() / scale, norms, rtol=1e-6, atol=0)
