"""Coordinate descent and ADMM against SciPy's active-set method, and least squares of all groups at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnls_problems import SIZES, objectives, random_problem

from lightning_factorlens.linalg.nnls import least_squares_
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent
from lightning_factorlens.linalg.packing import diagonal_blocks


@pytest.mark.parametrize("solver", [CoordinateDescent, ADMM])
def test_the_converged_solution_is_that_of_scipy(solver):
    from scipy.optimize import nnls

    F, X, G, B, W = random_problem()
    solver(SIZES, G).improve_(W, B, 3000)
    for f, w in zip(F.split(SIZES), W.split(SIZES)):
        exact = np.stack([nnls(f.T.numpy(), x.numpy())[0] for x in X], axis=1)
        assert np.allclose(w.numpy(), exact, rtol=1e-6, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    m=st.integers(0, 30),
    sweeps=st.integers(0, 6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    scale=st.sampled_from([1e-12, 1.0, 1e8]),
    defect=st.sampled_from(["", "dead", "all dead", "collinear", "zero start", "far start"]),
    seed=st.integers(0, 10**6),
)
@pytest.mark.parametrize("solver", [CoordinateDescent, ADMM])
def test_no_objective_rises_and_no_entry_becomes_negative(solver, sizes, m, sweeps, dtype, scale, defect, seed):
    sizes = tuple(sizes)
    F, X, _, _, W = random_problem(sizes, m, dtype, seed)
    if defect == "dead":
        F[::2] = 0
    elif defect == "all dead":
        F.zero_()
    elif defect == "collinear":
        F[:] = F[:1]
    W *= {"zero start": 0.0, "far start": 1e4}.get(defect, 1.0)
    F = F * scale
    W = W / scale
    G = [f @ f.T for f in F.split(sizes)]
    B = F @ X.T
    start = W.clone()
    solver(sizes, G).improve_(W, B, sweeps)
    assert torch.isfinite(W).all() and (W >= 0).all()
    before = objectives(sizes, G, B, start)
    after = objectives(sizes, G, B, W)
    size = objectives(sizes, G, torch.zeros_like(B), start) + (B * start).double().abs().sum(0) + 1
    assert (after <= before + 1e3 * torch.finfo(dtype).eps * size).all()
    if defect in ("dead", "all dead"):
        dead = (F == 0).all(1)
        assert torch.equal(W[dead], start[dead])


@pytest.mark.parametrize("solver", [CoordinateDescent, ADMM])
def test_one_gram_matrix_of_all_components_serves_as_well(solver):
    F, _, G, B, W = random_problem()
    full = F @ F.T  # also has entries between the groups
    views = diagonal_blocks(full, SIZES)
    assert all(torch.allclose(a, b) for a, b in zip(views, G))
    for form in (full, views, [*views[:3], *G[3:]], [g.T.contiguous().T for g in G]):
        found = solver(SIZES, form).improve_(W.clone(), B, 3)
        expected = solver(SIZES, G).improve_(W.clone(), B, 3)
        assert torch.allclose(found, expected, atol=1e-12)
    found = solver(SIZES, full).least_squares_(W.clone(), B)
    expected = solver(SIZES, G).least_squares_(W.clone(), B)
    assert torch.allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_least_squares_of_all_groups_at_once(ridge):
    F, X, G, B, W = random_problem()
    G[2] = torch.zeros_like(G[2])
    expected = W.clone()
    for w, b, g in zip(expected.split(SIZES), B.split(SIZES), G):
        least_squares_(w, b, g, ridge)
    assert torch.allclose(ADMM(SIZES, G).least_squares_(W, B, ridge), expected, rtol=1e-9)
    unconstrained = torch.linalg.lstsq(F[3:8].T, X.T).solution
    ADMM(SIZES[:3], [f @ f.T for f in F[:8].split(SIZES[:3])]).least_squares_(W[:8], B[:8], 1e-12)
    assert torch.allclose(W[3:8], unconstrained, rtol=1e-6)
