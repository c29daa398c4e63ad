"""The inner solvers against SciPy's active-set method, against each other, and against what they must never do."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.linalg import nnls_dispatch as inner
from lightning_factorlens.linalg import nnls_triton
from lightning_factorlens.linalg.nnls import hals_sweeps_, least_squares_
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent, make_nnls_solver
from lightning_factorlens.linalg.nnls_triton import TritonHALS, available, unavailable_reason
from lightning_factorlens.linalg.packing import diagonal_blocks, packed_groups

SIZES = (1, 2, 5, 5, 8, 3)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def posed(sizes=SIZES, m=40, dtype=torch.float64, seed=0, N=60):
    """F ≥ 0, X, and with them the Gram matrices and linear terms of min ‖X − Wᵀ F‖² over W ≥ 0."""
    g = torch.Generator().manual_seed(seed)
    F = torch.rand(sum(sizes), N, generator=g, dtype=dtype) * (torch.rand(sum(sizes), N, generator=g) < 0.5)
    X = torch.rand(m, N, generator=g, dtype=dtype)
    return F, X, [f @ f.T for f in F.split(sizes)], F @ X.T, torch.rand(sum(sizes), m, generator=g, dtype=dtype)


def objectives(sizes, G, B, W):
    """½ wᵀ G w − bᵀ w in float64: one row a group, one column a column of W."""
    parts = zip(W.double().split(sizes), B.double().split(sizes), G)
    return torch.stack([(w * (0.5 * g.double() @ w - b)).sum(0) for w, b, g in parts])


@pytest.mark.parametrize("solver", [CoordinateDescent, ADMM])
def test_where_it_converges_it_is_scipys_answer(solver):
    from scipy.optimize import nnls

    F, X, G, B, W = posed()
    solver(SIZES, G).sweep_(W, B, 3000)
    for f, w in zip(F.split(SIZES), W.split(SIZES)):
        exact = np.stack([nnls(f.T.numpy(), x.numpy())[0] for x in X], axis=1)
        assert np.allclose(w.numpy(), exact, rtol=1e-6, atol=1e-7)


def test_float32_admm_is_as_close_as_float32_allows():
    _, X, G, B, W = posed(sizes=(16, 3, 32), m=200, dtype=torch.float32)
    exact = CoordinateDescent((16, 3, 32), [g.double() for g in G]).improve_(W.double(), B.double(), 3000)
    ADMM((16, 3, 32), G).improve_(W, B, 1000)
    lost = objectives((16, 3, 32), G, B, W) - objectives((16, 3, 32), G, B, exact)
    assert lost.max() < 1e-5 * (0.5 * X.double().square().sum(1)).max()


def test_five_iterations_of_admm_are_worth_two_sweeps():
    sizes = (4, 8, 16, 32)
    _, _, G, B, W = posed(sizes, m=300)
    best = objectives(sizes, G, B, ADMM(sizes, G).improve_(W.clone(), B, 3000))
    gaps = [objectives(sizes, G, B, s(sizes, G).improve_(W.clone(), B, 2)) - best for s in (ADMM, CoordinateDescent)]
    assert (gaps[0].sum(1) <= 2 * gaps[1].sum(1)).all(), [g.sum(1).tolist() for g in gaps]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    m=st.integers(0, 30),
    sweeps=st.integers(0, 6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    scale=st.sampled_from([1e-12, 1.0, 1e8]),
    spoilt=st.sampled_from(["", "dead", "all dead", "collinear", "zero start", "far start"]),
    seed=st.integers(0, 10**6),
)
@pytest.mark.parametrize("solver", [CoordinateDescent, ADMM])
def test_no_objective_rises_and_nothing_leaves_the_orthant(solver, sizes, m, sweeps, dtype, scale, spoilt, seed):
    sizes = tuple(sizes)
    F, X, _, _, W = posed(sizes, m, dtype, seed)
    if spoilt == "dead":
        F[::2] = 0
    elif spoilt == "all dead":
        F.zero_()
    elif spoilt == "collinear":
        F[:] = F[:1]
    W *= {"zero start": 0.0, "far start": 1e4}.get(spoilt, 1.0)
    F, W = F * scale, W / scale
    G, B, start = [f @ f.T for f in F.split(sizes)], F @ X.T, W.clone()
    solver(sizes, G).sweep_(W, B, sweeps)
    assert torch.isfinite(W).all() and (W >= 0).all()
    before, after = objectives(sizes, G, B, start), objectives(sizes, G, B, W)
    size = objectives(sizes, G, torch.zeros_like(B), start) + (B * start).double().abs().sum(0) + 1
    assert (after <= before + 1e3 * torch.finfo(dtype).eps * size).all()
    if spoilt in ("dead", "all dead"):
        dead = (F == 0).all(1)
        assert torch.equal(W[dead], start[dead])


@pytest.mark.parametrize("solver", [CoordinateDescent, ADMM])
def test_one_gram_matrix_of_all_components_serves_as_well(solver):
    F, _, G, B, W = posed()
    whole = F @ F.T  # full between the groups as well
    views = diagonal_blocks(whole, SIZES)
    assert all(torch.allclose(a, b) for a, b in zip(views, G))
    for form in (whole, views, [*views[:3], *G[3:]], [g.T.contiguous().T for g in G]):
        one, other = (solver(SIZES, g).sweep_(W.clone(), B, 3) for g in (form, G))
        assert torch.allclose(one, other, atol=1e-12)
    one, other = (solver(SIZES, g).least_squares_(W.clone(), B) for g in (whole, G))
    assert torch.allclose(one, other, rtol=1e-8)


@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_least_squares_of_all_groups_at_once(ridge):
    F, X, G, B, W = posed()
    G[2] = torch.zeros_like(G[2])
    expected = W.clone()
    for w, b, g in zip(expected.split(SIZES), B.split(SIZES), G):
        least_squares_(w, b, g, ridge)
    assert torch.allclose(ADMM(SIZES, G).least_squares_(W, B, ridge), expected, rtol=1e-9)
    plain = torch.linalg.lstsq(F[3:8].T, X.T).solution
    ADMM(SIZES[:3], [f @ f.T for f in F[:8].split(SIZES[:3])]).least_squares_(W[:8], B[:8], 1e-12)
    assert torch.allclose(W[3:8], plain, rtol=1e-6)


def test_columns_are_solved_in_chunks(monkeypatch):
    _, _, G, B, W = posed(m=100)
    whole = ADMM(SIZES, G).improve_(W.clone(), B, 3)
    monkeypatch.setattr("lightning_factorlens.linalg.nnls_admm.CHUNK", 7)
    assert torch.allclose(ADMM(SIZES, G).improve_(W, B, 3), whole, atol=1e-12)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_tiles_hold_every_row_once_and_every_group_whole(sizes):
    sizes = tuple(sizes)
    packing, stacked = packed_groups(sizes, torch.device("cpu")), torch.arange(1.0, sum(sizes) * 3 + 1).view(-1, 3)
    packed = packing.pack(stacked)
    assert torch.equal(packing.unpack(packed), stacked)
    assert packed.sum() == stacked.sum() and packed.shape[1] == max(sizes)
    blocks = packing.grams([torch.full((r, r), float(k + 1)) for k, r in enumerate(sizes)])
    assert blocks.sum() == sum((k + 1) * r * r for k, r in enumerate(sizes))
    assert torch.equal(blocks != 0, packing.same_group)
    means = packing.group_means(blocks.diagonal(dim1=1, dim2=2))
    assert torch.equal(means, blocks.diagonal(dim1=1, dim2=2))  # a group's diagonal is constant here


def test_ranks_that_double_fill_one_tile():
    assert packed_groups((1, 2, 4, 8, 16, 32), torch.device("cpu")).rows.shape == (2, 32)
    assert packed_groups((1,) * 4 + (2,) * 4 + (4,) * 4 + (8,) * 4 + (16,) * 4, torch.device("cpu")).rows.shape == (
        8,
        16,
    )


def test_chosen_by_capability(monkeypatch):
    G = posed()[2]
    assert isinstance(make_nnls_solver(SIZES, G), CoordinateDescent)
    elsewhere = [g.to("meta") for g in G]  # a device that is not the CPU, and has no Triton
    assert isinstance(make_nnls_solver(SIZES, elsewhere), ADMM)
    assert isinstance(make_nnls_solver(SIZES, elsewhere, lambda t, v: t), CoordinateDescent)
    monkeypatch.setattr(inner, "available", lambda device, dtype, sizes: True)
    assert isinstance(make_nnls_solver(SIZES, elsewhere), TritonHALS)


def test_why_the_kernel_cannot_be_used(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert not available(cpu)
    assert "found cpu" in unavailable_reason(cpu, torch.float32, 8)
    assert "float16" in unavailable_reason(cuda, torch.float16, 8) or "not installed" in unavailable_reason(
        cuda, torch.float16, 8
    )
    if not torch.cuda.is_available():  # whatever is raised on the way becomes the reason
        assert unavailable_reason(cuda, torch.float32, 16)
    monkeypatch.setattr(nnls_triton.importlib.util, "find_spec", lambda name: None)
    assert unavailable_reason(cuda, torch.float32, 32) == "Triton is not installed"
    unavailable_reason.cache_clear()


def interpreted():
    """Runs under TRITON_INTERPRET=1, in a process of its own: the kernel against `hals_sweeps_` and SciPy."""
    from scipy.optimize import nnls

    def swept(sizes, G, B, W, sweeps):
        for w, b, g in zip(W.split(sizes), B.split(sizes), G):
            hals_sweeps_(w, b, g, sweeps)
        return W

    found = {}
    for sizes, m, dtype in [((1,), 33, torch.float32), ((9, 3, 8), 33, torch.float64), ((33, 17), 3, torch.float32)]:
        F, _, G, B, W = posed(sizes, m, dtype)
        expected = swept(sizes, G, B, W.clone(), 2)
        worst = (TritonHALS(sizes, F @ F.T if m == 3 else G).improve_(W, B, 2) - expected).abs().max() / expected.max()
        found[f"{sizes} {dtype}"] = float(worst) / torch.finfo(dtype).eps
    F, _, G, B, W = posed((3, 9), 5)
    G[1][4] = G[1][:, 4] = G[0][:] = 0  # one dead component and a dead group
    TritonHALS((3, 9), G).improve_(W, B, 2)
    start = posed((3, 9), 5)[4]
    found["dead rows stay"] = torch.equal(W[[0, 1, 2, 7]], start[[0, 1, 2, 7]]) and not torch.equal(W[3], start[3])
    wide = torch.zeros(12, 11, dtype=torch.float64)
    views = wide[:, 2:7].copy_(start), torch.cat([B, B], 1)[:, :5], start.T.contiguous().T
    given = posed((3, 9), 5)[2]
    expected = swept((3, 9), given, B, start.clone(), 1)
    kinds = [torch.allclose(TritonHALS((3, 9), given).improve_(w, views[1], 1), expected) for w in (views[0], views[2])]
    found["strided"] = all(kinds) and not wide[:, :2].any() and not wide[:, 7:].any()
    F, X, G, B, W = posed((3,), 2)
    TritonHALS((3,), G).improve_(W, B, 60)
    exact = np.stack([nnls(F.T.numpy(), x.numpy())[0] for x in X], axis=1)
    found["scipy"] = bool(np.allclose(W.numpy(), exact, rtol=1e-6, atol=1e-9))
    F, _, G, B, W = posed((70, 2), 3)
    mixed = TritonHALS((70, 2), G).improve_(W.clone(), B, 2)
    found["large left to ADMM"] = torch.allclose(mixed[:70], ADMM((70,), G[:1]).improve_(W[:70].clone(), B[:70], 2))
    found["small beside it"] = torch.allclose(mixed[70:], swept((2,), G[1:], B[70:], W[70:].clone(), 2))
    found["nothing to do"] = (
        TritonHALS((3,), [torch.eye(3)]).improve_(torch.ones(3, 0), torch.ones(3, 0), 2).numel() == 0
    )
    print(json.dumps(found))


def test_the_kernel_gives_what_the_sweeps_give_in_tritons_interpreter():
    pytest.importorskip("triton", reason="Triton is not installed")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_inner; test_inner.interpreted()"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = {name: value for name, value in found.items() if value is False or value > 100}
    assert not wrong


def compiled(arch, pointer, largest):
    """The kernel's machine code for a device that need not be there."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from lightning_factorlens.linalg.nnls_triton_kernels import sweep_groups

    integers = dict.fromkeys(["m", "stride_w", "stride_b", "sweeps"], "i32")
    signature = {**dict.fromkeys("WBG", pointer), "table": "*i32", **integers}
    constants = {"LARGEST": largest, "COLUMNS": nnls_triton.COLUMNS}
    if "constexprs" in inspect.signature(ASTSource.__init__).parameters:
        source = ASTSource(sweep_groups, {**signature, **dict.fromkeys(constants, "constexpr")}, constexprs=constants)
    else:  # Triton 3.2
        source = ASTSource(sweep_groups, signature, constants=constants)
    return compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": 1, "enable_fp_fusion": True})


@pytest.mark.parametrize(
    ("arch", "pointer", "largest"),
    [
        (80, "*fp32", 8),
        *[pytest.param(*case, marks=pytest.mark.slow) for case in [(80, "*fp32", 64), (90, "*fp32", 64)]],
        pytest.param(90, "*fp64", 64, marks=pytest.mark.slow),
    ],
)
def test_the_kernel_compiles_for_real_devices(arch, pointer, largest, tmp_path, monkeypatch):
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    assert len(compiled(arch, pointer, largest).asm["cubin"]) > 1000


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_cuda_as_on_the_cpu(dtype):
    sizes = (1, 2, 4, 8, 16, 32, 64, 64, 40, 9)
    F, _, G, B, W = posed(sizes, 1000, dtype)
    expected = CoordinateDescent(sizes, G).improve_(W.clone(), B, 3)
    there = [g.cuda() for g in G]
    solvers = (
        [TritonHALS(sizes, there), TritonHALS(sizes, (F @ F.T).cuda())]
        if available(there[0].device, dtype, sizes)
        else []
    )
    for solver in solvers:
        found = solver.improve_(W.cuda(), B.cuda(), 3).cpu()
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    admm = ADMM(sizes, there).improve_(W.cuda(), B.cuda(), 3).cpu()
    assert torch.allclose(admm, ADMM(sizes, G).improve_(W.clone(), B, 3), rtol=1e-3, atol=1e-4)
