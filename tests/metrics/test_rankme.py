"""Effective rank of features against numpy and closed forms."""

import numpy as np
import pytest
import torch

from lightning_factorlens.metrics.rankme import rankme


@pytest.mark.parametrize("shape", [(40, 7), (20, 3, 4, 4), (6, 6)])
def test_it_is_the_exponential_of_the_entropy_of_the_singular_values(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sigma = np.linalg.svd(x.double().flatten(1).numpy(), compute_uv=False)
    p = sigma / sigma.sum()
    assert rankme(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert rankme(torch.eye(9)) == pytest.approx(9)
    assert rankme(torch.ones(9, 4)) == pytest.approx(1)
