"""Multiplicative updates against scikit-learn."""

import numpy as np
import pytest
import torch

from lightning_factorlens.factorization import (
    ComponentGroups,
    CoupledProblem,
    MultiplicativeUpdates,
)


@pytest.mark.parametrize("weighting", ["unit", "raw"])
def test_multiplicative_updates_follow_scikit_learn(planted, stacked, weighting):
    from sklearn.decomposition import non_negative_factorization

    blocks = planted(noise=0.3, scales=(1.0, 5.0, 0.1))
    problem = CoupledProblem(blocks, weighting)
    X = stacked(blocks, problem.omega).numpy()
    rng = np.random.default_rng(0)
    W0, H0 = rng.random((X.shape[0], 4)), rng.random((4, X.shape[1]))
    solver, groups = MultiplicativeUpdates(), ComponentGroups((4,))
    state = solver.init(problem, groups, torch.tensor(H0), torch.tensor(W0.T.copy()))
    for _ in range(30):
        state = solver.step(problem, groups, state)
    W, H, _ = non_negative_factorization(
        X, W=W0.copy(), H=H0.copy(), n_components=4, init="custom", solver="mu", max_iter=30, tol=0
    )
    assert np.allclose(state.F.numpy(), H, rtol=1e-6, atol=1e-9)
    assert np.allclose(state.W.numpy().T, W, rtol=1e-6, atol=1e-9)
