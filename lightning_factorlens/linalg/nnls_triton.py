"""Non-negative least squares for many groups of components in one launch: HALS sweeps fused into one Triton kernel.

The method is that of `nnls.hals_sweeps_` (Cichocki and Phan 2009). Called component by component it would be bound by
its launches, about a millisecond a sweep; here W is read once, swept in registers and written once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor

from lightning_factorlens.linalg.nnls import hals_sweeps_
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.packing import Grams, as_flat, diagonal_blocks, packed_groups

#: Components of the largest group that fits a thread's registers.
LARGEST = 64
#: Columns of one program, which is one warp: a column a thread.
COLUMNS = 32


class TritonHALS:
    """Improves W ≥ 0 towards argmin ½ tr(Wᵀ G W) − ⟨B, W⟩ in every group; the objective never rises.

    Args:
        sizes: Components of each group; those above 64 are left to `ADMM`.
        G: Their Gram matrices, symmetric positive semi-definite. A component whose diagonal entry vanishes beside its
            group's largest carries no information and is left as it is.
    """

    def __init__(self, sizes: Sequence[int], G: Grams) -> None:
        self.sizes = tuple(sizes)
        self.G = G
        blocks = diagonal_blocks(G, self.sizes) if isinstance(G, Tensor) else G
        self.flat, layout = as_flat(G, self.sizes)
        self.table = _table(self.sizes, layout, self.flat.device)
        ends = torch.tensor(self.sizes).cumsum(0).tolist()
        self.large = [
            (slice(end - r, end), ADMM((r,), [g])) for end, r, g in zip(ends, self.sizes, blocks) if r > LARGEST
        ]

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """See `InnerSolver.least_squares_`."""
        where = packed_groups(self.sizes, B.device)
        return where.least_squares_(T, B, where.grams(self.G), ridge)

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """See `InnerSolver.sweep_`."""
        if not T.numel():
            return T
        if len(self.table):
            W, B = (t if t.stride(1) == 1 else t.contiguous() for t in (T, B))
            self._launch(W, B, sweeps)
            if W is not T:
                T.copy_(W)
        for rows, solver in self.large:
            solver.improve_(T[rows], B[rows], sweeps)
        return T

    def _launch(self, W: Tensor, B: Tensor, sweeps: int) -> None:
        from lightning_factorlens.linalg.nnls_triton_kernels import sweep_groups

        m = W.shape[1]
        # Triton launches on the current device, whatever the tensors'.
        with torch.cuda.device(W.device) if W.is_cuda else nullcontext():
            sweep_groups[(-(-m // COLUMNS), len(self.table))](
                W,
                B,
                self.flat,
                self.table,
                m,
                W.stride(0),
                B.stride(0),
                sweeps,
                LARGEST=kernel_width(self.sizes),
                COLUMNS=COLUMNS,
                num_warps=1,
                enable_fp_fusion=True,
            )


def kernel_width(sizes: Sequence[int]) -> int:
    """The kernel is compiled for groups of up to 8, 16, 32 or 64: the smaller, the more programs run side by side."""
    largest = max((r for r in sizes if r <= LARGEST), default=8)
    return next(bound for bound in (8, 16, 32, 64) if largest <= bound)


@lru_cache(maxsize=64)
def _table(sizes: tuple[int, ...], layout: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """The kernel's table of the groups it takes, the largest first: none is then still at work when others are done.

    Args:
        sizes: Components of each group.
        layout: From `one_memory`.
        device: Where it is wanted.
    """
    ends = torch.tensor(sizes).cumsum(0).tolist()
    entries = [[end - r, r, *where] for end, r, where in zip(ends, sizes, layout) if r <= LARGEST]
    entries.sort(key=lambda entry: -entry[1])
    return torch.tensor(entries, dtype=torch.int32).view(-1, 4).to(device)


def available(device: torch.device, dtype: torch.dtype = torch.float32, sizes: Sequence[int] = (LARGEST,)) -> bool:
    """Whether the kernel runs on a device and gives what `hals_sweeps_` gives there."""
    return not unavailable_reason(device, dtype, kernel_width(sizes))


@lru_cache(maxsize=64)
def unavailable_reason(device: torch.device, dtype: torch.dtype, largest: int) -> str:
    """Why the kernel cannot be used, in words; empty where it can.

    Triton compiles when a kernel is first called, with a compiler and headers that a machine may lack, so a small
    problem is solved and its answer compared.
    """
    if device.type != "cuda":
        return f"it is for CUDA devices, found {device.type}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if dtype not in (torch.float32, torch.float64):
        return f"it is for float32 and float64, found {dtype}"
    generator = torch.Generator().manual_seed(0)
    F, B = (torch.rand(largest, n, generator=generator, dtype=dtype) for n in (96, 40))
    G, W = F @ F.T, torch.ones(largest, 40, dtype=dtype)
    try:
        found = TritonHALS((largest,), [G.to(device)]).improve_(W.to(device), B.to(device), 3).cpu()
    except Exception as error:  # whatever a compiler or a driver may raise
        return f"{type(error).__name__}: {error}"
    wanted = hals_sweeps_(W, B, G, 3)
    return "" if torch.allclose(found, wanted, rtol=1e-3, atol=1e-4) else "it gives wrong answers on this device"
