"""Factors with columns of unit norm."""

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
