"""ADMM: its precision in float32, its speed of convergence, and its chunks of columns."""

import torch
from nnls_problems import SIZES, objectives, random_problem

from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent


def test_float32_admm_is_as_close_as_float32_allows():
    _, X, G, B, W = random_problem(sizes=(16, 3, 32), m=200, dtype=torch.float32)
    exact = CoordinateDescent((16, 3, 32), [g.double() for g in G]).improve_(W.double(), B.double(), 3000)
    ADMM((16, 3, 32), G).improve_(W, B, 1000)
    lost = objectives((16, 3, 32), G, B, W) - objectives((16, 3, 32), G, B, exact)
    assert lost.max() < 1e-5 * (0.5 * X.double().square().sum(1)).max()


def test_five_iterations_of_admm_improve_as_much_as_two_sweeps():
    sizes = (4, 8, 16, 32)
    _, _, G, B, W = random_problem(sizes, m=300)
    best = objectives(sizes, G, B, ADMM(sizes, G).improve_(W.clone(), B, 3000))
    admm_gap = objectives(sizes, G, B, ADMM(sizes, G).improve_(W.clone(), B, 2)) - best
    sweeps_gap = objectives(sizes, G, B, CoordinateDescent(sizes, G).improve_(W.clone(), B, 2)) - best
    assert (admm_gap.sum(1) <= 2 * sweeps_gap.sum(1)).all(), (admm_gap.sum(1), sweeps_gap.sum(1))


def test_columns_are_solved_in_chunks(monkeypatch):
    _, _, G, B, W = random_problem(m=100)
    in_one_chunk = ADMM(SIZES, G).improve_(W.clone(), B, 3)
    monkeypatch.setattr("lightning_factorlens.linalg.nnls_admm.CHUNK", 7)
    assert torch.allclose(ADMM(SIZES, G).improve_(W, B, 3), in_one_chunk, atol=1e-12)
