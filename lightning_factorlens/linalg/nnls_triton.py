"""Non-negative least squares for many groups of components in one kernel launch: HALS sweeps fused in Triton.

The method is that of `lightning_factorlens.linalg.nnls.hals_sweeps_`: Cichocki and Phan (2009), "Fast local algorithms
for large scale nonnegative matrix and tensor factorizations". With one call per component, a sweep would spend about a
millisecond on kernel launches. The kernel reads W once, performs all sweeps in registers, and writes W once.
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
from lightning_factorlens.linalg.packing import Grams, as_flat, diagonal_blocks, group_slices, packed_groups

#: Number of components of the largest group that fits into the registers of a thread.
LARGEST = 64
#: Numbers of components that the kernel is compiled for.
WIDTHS = (8, 16, 32, 64)
#: Columns per program. A program is one warp, and each of its threads processes one column.
COLUMNS = 32


class TritonHALS:
    """Improves W ≥ 0 towards argmin ½ tr(Wᵀ G W) − ⟨B, W⟩ in every group; the objective never increases.

    Args:
        sizes: Number of components of each group. Groups with more than 64 are solved by `ADMM`.
        G: Gram matrices of the groups, symmetric positive semi-definite. A component whose diagonal entry is at most
            1e-12 of the largest one in its group carries no information and is not changed.
    """

    def __init__(self, sizes: Sequence[int], G: Grams) -> None:
        self.sizes = tuple(sizes)
        self.G = G
        self.flat, layout = as_flat(G, self.sizes)
        self.table = _group_table(self.sizes, layout, self.flat.device)
        blocks = diagonal_blocks(G, self.sizes) if isinstance(G, Tensor) else G
        self.large: list[tuple[slice, ADMM]] = []
        for rows, r, block in zip(group_slices(self.sizes), self.sizes, blocks):
            if r > LARGEST:
                self.large.append((rows, ADMM((r,), [block])))

    def least_squares_(self, T: Tensor, B: Tensor, ridge: float = 1e-6) -> Tensor:
        """Writes the minimum without a sign constraint into T; see `NNLSSolver.least_squares_`."""
        tiles = packed_groups(self.sizes, B.device)
        return tiles.least_squares_(T, B, tiles.grams(self.G), ridge)

    def improve_(self, T: Tensor, B: Tensor, sweeps: int) -> Tensor:
        """Sweeps over all components in one launch; see `NNLSSolver.improve_`."""
        if not T.numel():
            return T
        if len(self.table):
            W = _with_contiguous_rows(T)
            self._launch(W, _with_contiguous_rows(B), sweeps)
            if W is not T:
                T.copy_(W)
        for rows, solver in self.large:
            solver.improve_(T[rows], B[rows], sweeps)
        return T

    def _launch(self, W: Tensor, B: Tensor, sweeps: int) -> None:
        from lightning_factorlens.linalg.nnls_triton_kernels import sweep_groups

        m = W.shape[1]
        column_blocks = -(-m // COLUMNS)
        # Triton launches on the current device, not on the device of the tensors.
        with torch.cuda.device(W.device) if W.is_cuda else nullcontext():
            sweep_groups[(column_blocks, len(self.table))](
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
    """Returns the number of components that the kernel is compiled for: 8, 16, 32 or 64.

    A smaller width uses fewer registers, so that more programs run concurrently.

    Args:
        sizes: Number of components of each group. Those above 64 are ignored, since the kernel does not solve them.

    Returns:
        The smallest width that holds every remaining group.

    Example:
        >>> kernel_width((1, 4, 9, 100))
        16
    """
    width = WIDTHS[0]
    for r in sizes:
        while width < r <= LARGEST:
            width *= 2
    return width


def triton_hals_available(
    device: torch.device, dtype: torch.dtype = torch.float32, sizes: Sequence[int] = (LARGEST,)
) -> bool:
    """Returns whether the kernel runs on a device and computes there what `hals_sweeps_` computes.

    Args:
        device: Device of the tensors.
        dtype: Dtype of the tensors.
        sizes: Number of components of each group.

    Returns:
        True if it does; `unavailable_reason` explains a False.

    Example:
        >>> import torch
        >>> triton_hals_available(torch.device("cpu"))
        False
    """
    return not unavailable_reason(device, dtype, kernel_width(sizes))


@lru_cache(maxsize=64)
def unavailable_reason(device: torch.device, dtype: torch.dtype, largest: int) -> str:
    """Explains why the kernel cannot be used.

    Triton compiles a kernel at its first call, with a compiler and headers that a machine may lack. Therefore a small
    problem is solved, and its result is compared with that of `hals_sweeps_`.

    Args:
        device: Device of the tensors.
        dtype: Dtype of the tensors.
        largest: Width of the kernel, as `kernel_width` returns it.

    Returns:
        The reason in words; empty when the kernel can be used.

    Example:
        >>> import torch
        >>> unavailable_reason(torch.device("cpu"), torch.float32, 8)
        'the kernel runs on CUDA devices only, found cpu'
    """
    if device.type != "cuda":
        return f"the kernel runs on CUDA devices only, found {device.type}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if dtype not in (torch.float32, torch.float64):
        return f"the kernel takes float32 and float64 only, found {dtype}"
    generator = torch.Generator().manual_seed(0)
    F = torch.rand(largest, 96, generator=generator, dtype=dtype)
    B = torch.rand(largest, 40, generator=generator, dtype=dtype)
    G = F @ F.T
    W = torch.ones(largest, 40, dtype=dtype)
    try:
        found = TritonHALS((largest,), [G.to(device)]).improve_(W.to(device), B.to(device), 3).cpu()
    except Exception as error:  # a compiler or a driver may raise any exception
        return f"{type(error).__name__}: {error}"
    expected = hals_sweeps_(W, B, G, 3)
    if not torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
        return "the kernel gives wrong results on this device"
    return ""


def _with_contiguous_rows(matrix: Tensor) -> Tensor:
    if matrix.stride(1) == 1:
        return matrix
    return matrix.contiguous()


@lru_cache(maxsize=64)
def _group_table(sizes: tuple[int, ...], layout: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Table of the groups that the kernel solves, one row per group, the largest group first.

    The largest groups take longest, so starting with them leaves no program running alone at the end.

    Args:
        sizes: Number of components of each group.
        layout: Second result of `as_flat`.
        device: Device of the table.

    Returns:
        Shape (groups, 4), int32: first row in W, number of components, offset of the Gram matrix and its row stride.
    """
    entries = []
    for rows, r, (offset, stride) in zip(group_slices(sizes), sizes, layout):
        if r <= LARGEST:
            entries.append([rows.start, r, offset, stride])
    entries.sort(key=lambda entry: -entry[1])
    return torch.tensor(entries, dtype=torch.int32).view(-1, 4).to(device)
