"""The Triton kernel against `hals_sweeps_` and SciPy, in Triton's interpreter and on CUDA devices."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from nnls_problems import random_problem

from lightning_factorlens.linalg import nnls_triton
from lightning_factorlens.linalg.nnls import hals_sweeps_
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent
from lightning_factorlens.linalg.nnls_triton import TritonHALS, triton_hals_available, unavailable_reason

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_why_the_kernel_cannot_be_used(monkeypatch):
    cpu = torch.device("cpu")
    cuda = torch.device("cuda")
    assert not triton_hals_available(cpu)
    assert "found cpu" in unavailable_reason(cpu, torch.float32, 8)
    reason = unavailable_reason(cuda, torch.float16, 8)
    assert "float16" in reason or "not installed" in reason
    if not torch.cuda.is_available():  # the exception that CUDA raises becomes the reason
        assert unavailable_reason(cuda, torch.float32, 16)
    monkeypatch.setattr(nnls_triton.importlib.util, "find_spec", lambda name: None)
    assert unavailable_reason(cuda, torch.float32, 32) == "Triton is not installed"
    unavailable_reason.cache_clear()


def sweep_groups_one_by_one(sizes, G, B, W, sweeps):
    for w, b, g in zip(W.split(sizes), B.split(sizes), G):
        hals_sweeps_(w, b, g, sweeps)
    return W


def check_in_interpreter():
    """Runs under TRITON_INTERPRET=1 in a process of its own and prints what each comparison found, as JSON."""
    found = {}
    found |= compare_with_sweeps()
    found |= compare_dead_components()
    found |= compare_strided_tensors()
    found["scipy"] = agrees_with_scipy()
    _, _, G, B, W = random_problem((70, 2), 3)
    mixed = TritonHALS((70, 2), G).improve_(W.clone(), B, 2)
    by_admm = ADMM((70,), G[:1]).improve_(W[:70].clone(), B[:70], 2)
    found["a large group is solved by ADMM"] = torch.allclose(mixed[:70], by_admm)
    by_sweeps = sweep_groups_one_by_one((2,), G[1:], B[70:], W[70:].clone(), 2)
    found["a small group beside it"] = torch.allclose(mixed[70:], by_sweeps)
    no_columns = TritonHALS((3,), [torch.eye(3)]).improve_(torch.ones(3, 0), torch.ones(3, 0), 2)
    found["no columns"] = no_columns.numel() == 0
    print(json.dumps(found))


def compare_with_sweeps():
    """Largest difference to `hals_sweeps_`, in units of the rounding of the largest entry."""
    found = {}
    for sizes, m, dtype in [((1,), 33, torch.float32), ((9, 3, 8), 33, torch.float64), ((33, 17), 3, torch.float32)]:
        F, _, G, B, W = random_problem(sizes, m, dtype)
        expected = sweep_groups_one_by_one(sizes, G, B, W.clone(), 2)
        difference = TritonHALS(sizes, F @ F.T if m == 3 else G).improve_(W, B, 2) - expected
        found[f"{sizes} {dtype}"] = float(difference.abs().max() / expected.max()) / torch.finfo(dtype).eps
    return found


def compare_dead_components():
    _, _, G, B, W = random_problem((3, 9), 5)
    G[1][4] = G[1][:, 4] = G[0][:] = 0  # one dead component and a dead group
    TritonHALS((3, 9), G).improve_(W, B, 2)
    start = random_problem((3, 9), 5)[4]
    dead = [0, 1, 2, 7]
    return {"dead rows stay": torch.equal(W[dead], start[dead]) and not torch.equal(W[3], start[3])}


def compare_strided_tensors():
    _, _, G, B, start = random_problem((3, 9), 5)
    wide = torch.zeros(12, 11, dtype=torch.float64)
    strided_W = wide[:, 2:7].copy_(start)
    strided_B = torch.cat([B, B], 1)[:, :5]
    transposed_W = start.T.contiguous().T
    expected = sweep_groups_one_by_one((3, 9), G, B, start.clone(), 1)
    equal = [
        torch.allclose(TritonHALS((3, 9), G).improve_(W, strided_B, 1), expected) for W in (strided_W, transposed_W)
    ]
    return {"strided": all(equal) and not wide[:, :2].any() and not wide[:, 7:].any()}


def agrees_with_scipy():
    from scipy.optimize import nnls

    F, X, G, B, W = random_problem((3,), 2)
    TritonHALS((3,), G).improve_(W, B, 60)
    exact = np.stack([nnls(F.T.numpy(), x.numpy())[0] for x in X], axis=1)
    return bool(np.allclose(W.numpy(), exact, rtol=1e-6, atol=1e-9))


def test_the_kernel_computes_what_the_sweeps_compute_in_tritons_interpreter():
    pytest.importorskip("triton", reason="Triton is not installed")
    here = Path(__file__).parent
    folders = [str(here), str(here.parent)]
    code = f"import sys; sys.path[:0] = {folders!r}; import test_nnls_triton as t; t.check_in_interpreter()"
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if "only 0-dimensional arrays can be converted" in done.stderr:
        pytest.skip("the interpreter of Triton 3.6 and earlier does not work with NumPy 2.5 and later")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = {name: value for name, value in found.items() if value is False or value > 100}
    assert not wrong


def compiled(arch, pointer, largest):
    """The kernel compiled for a device that this machine need not have."""
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
def test_cuda_results_equal_those_of_the_cpu(dtype):
    sizes = (1, 2, 4, 8, 16, 32, 64, 64, 40, 9)
    F, _, G, B, W = random_problem(sizes, 1000, dtype)
    expected = CoordinateDescent(sizes, G).improve_(W.clone(), B, 3)
    cuda_grams = [g.cuda() for g in G]
    if triton_hals_available(cuda_grams[0].device, dtype, sizes):
        for solver in (TritonHALS(sizes, cuda_grams), TritonHALS(sizes, (F @ F.T).cuda())):
            found = solver.improve_(W.cuda(), B.cuda(), 3).cpu()
            assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    admm = ADMM(sizes, cuda_grams).improve_(W.cuda(), B.cuda(), 3).cpu()
    assert torch.allclose(admm, ADMM(sizes, G).improve_(W.clone(), B, 3), rtol=1e-3, atol=1e-4)
