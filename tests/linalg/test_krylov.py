"""Block Krylov iteration: the estimate of the error holds where eigenvalues lie close together."""

import pytest
import torch

from lightning_factorlens.linalg.krylov import GUARD, SharedKrylov

N, K = 600, 16
TOLERANCE = 5e-8


@pytest.mark.parametrize("first", [K - 1, K + 1, K + GUARD - 1, K + GUARD + 1])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-4])
def test_the_error_is_within_the_tolerance_with_a_cluster_of_eigenvalues(first, spread):
    g = torch.Generator().manual_seed(0)
    values = 0.97 ** torch.arange(N, dtype=torch.float64)
    values[first : first + 12] = values[first] * (1 + spread * torch.linspace(1, 0, 12, dtype=torch.float64))
    values = values.sort(descending=True).values
    vectors = torch.linalg.qr(torch.randn(N, N, dtype=torch.float64, generator=g))[0]
    matrix = (vectors * values) @ vectors.T
    krylov = SharedKrylov(lambda Q: (matrix @ Q)[None], [float(values.sum())], N, K, TOLERANCE)
    (basis,) = krylov.run()
    if basis is None:  # nothing is found where eigenvalues k to k + 8 are equal, which leaves no distance
        assert first < K and spread < 1e-6
        return
    captured = (basis * (matrix @ basis)).sum(0).cumsum(0)
    for rank in (1, 4, K):
        found = (1 - captured[rank - 1] / values.sum()).sqrt()
        exact = (1 - values[:rank].sum() / values.sum()).sqrt()
        assert float(found) == pytest.approx(float(exact), abs=TOLERANCE)
