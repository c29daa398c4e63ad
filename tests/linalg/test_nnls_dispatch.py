"""The choice of a solver by device, by Triton's availability and by penalty."""

from nnls_problems import SIZES, random_problem

from lightning_factorlens.linalg import nnls_dispatch
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent, make_nnls_solver
from lightning_factorlens.linalg.nnls_triton import TritonHALS


def test_the_device_decides_which_solver_is_used(monkeypatch):
    G = random_problem()[2]
    assert isinstance(make_nnls_solver(SIZES, G), CoordinateDescent)
    on_meta = [g.to("meta") for g in G]  # a device that is not the CPU and for which Triton compiles nothing
    assert isinstance(make_nnls_solver(SIZES, on_meta), ADMM)
    assert isinstance(make_nnls_solver(SIZES, on_meta, lambda t, v: t), CoordinateDescent)
    monkeypatch.setattr(nnls_dispatch, "triton_hals_available", lambda device, dtype, sizes: True)
    assert isinstance(make_nnls_solver(SIZES, on_meta), TritonHALS)
