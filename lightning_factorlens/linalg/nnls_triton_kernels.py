"""The Triton kernel of `nnls_triton`.

This file imports Triton, which not every machine has, so `nnls_triton` imports it at the first launch only.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _sweep_tile(
    W: tl.tensor,
    B: tl.tensor,
    G: tl.tensor,
    stride_w: tl.tensor,
    stride_b: tl.tensor,
    stride_g: tl.tensor,
    r: tl.tensor,
    columns: tl.tensor,
    m: tl.tensor,
    sweeps: tl.tensor,
    PARTS: tl.constexpr,
) -> None:
    """All sweeps over some columns of one group of at most 8·PARTS components.

    The tile of W stays in registers. Each thread holds all components of its column, so that sums over components need
    no communication between threads. Registers cannot be indexed at run time. Therefore the components are processed
    in blocks of eight: a mask extracts a block from the tile, unrolled code updates its components one by one, and the
    block is written back into the tile. The last sweep stores each row as soon as it is computed.
    """
    part = tl.arange(0, PARTS)
    i = tl.arange(0, 8)
    k = part[:, None] * 8 + i[None, :]
    mask = (k < r)[:, :, None] & (columns < m)[None, None, :]
    w = tl.load(W + k[:, :, None].to(tl.int64) * stride_w + columns[None, None, :], mask=mask, other=0.0)
    largest = tl.max(tl.max(tl.load(G + k * (stride_g + 1), mask=k < r, other=0.0), axis=0), axis=0)
    for sweep in range(sweeps):
        for p in range(tl.cdiv(r, 8)):
            block = tl.sum(tl.where((part == p)[:, None, None], w, 0.0), axis=0)
            for j in tl.static_range(8):
                row = p * 8 + j
                valid_r = tl.where(row < r, r, 0)  # beyond the last component nothing is loaded
                g = tl.load(G + row * stride_g + k, mask=(k < valid_r) & (part != p)[:, None], other=0.0)
                g_block = tl.load(G + row * stride_g + p * 8 + i, mask=(p * 8 + i < valid_r) & (i != j), other=0.0)
                diagonal = tl.load(G + row * (stride_g + 1), mask=row < r, other=0.0)
                b = tl.load(
                    B + row.to(tl.int64) * stride_b + columns, mask=columns < tl.where(row < r, m, 0), other=0.0
                )
                b -= tl.sum(tl.sum(g[:, :, None] * w, axis=0), axis=0) + tl.sum(g_block[:, None] * block, axis=0)
                new_row = tl.maximum(b / tl.maximum(diagonal, 1.1754943508222875e-38), 0.0)
                active = diagonal > 1e-12 * largest
                block = tl.where((i == tl.where(active, j, -1))[:, None], new_row[None, :], block)
                stored_columns = tl.where(active & (sweep == sweeps - 1), m, 0)
                tl.store(W + row.to(tl.int64) * stride_w + columns, new_row, mask=columns < stored_columns)
            w = tl.where((part == p)[:, None, None], block[None, :, :], w)


# One compilation serves all shapes and alignments: with one column per thread, specializing on them saves no time.
@triton.jit(do_not_specialize=["W", "B", "G", "table", "m", "stride_w", "stride_b", "sweeps"])
def sweep_groups(
    W: tl.tensor,
    B: tl.tensor,
    G: tl.tensor,
    table: tl.tensor,
    m: tl.tensor,
    stride_w: tl.tensor,
    stride_b: tl.tensor,
    sweeps: tl.tensor,
    LARGEST: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """HALS sweeps over all groups: program (x, y) updates COLUMNS columns, from x·COLUMNS, of the group in table row y.

    A row of the table holds the group's first row in W and B, its number of components, the offset of its Gram matrix
    in G, and the row stride of that matrix.
    """
    entry = table + tl.program_id(1) * 4
    first = tl.load(entry).to(tl.int64)
    r = tl.load(entry + 1)
    gram = G + tl.load(entry + 2).to(tl.int64)
    stride_g = tl.load(entry + 3)
    columns = tl.program_id(0).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    w = W + first * stride_w
    b = B + first * stride_b
    if r <= 8:
        _sweep_tile(w, b, gram, stride_w, stride_b, stride_g, r, columns, m, sweeps, 1)
    # The outer conditions are compile-time constants.
    if LARGEST > 8:  # noqa: SIM102
        if (r > 8) & (r <= 16):
            _sweep_tile(w, b, gram, stride_w, stride_b, stride_g, r, columns, m, sweeps, 2)
    if LARGEST > 16:  # noqa: SIM102
        if (r > 16) & (r <= 32):
            _sweep_tile(w, b, gram, stride_w, stride_b, stride_g, r, columns, m, sweeps, 4)
    if LARGEST > 32:  # noqa: SIM102
        if r > 32:
            _sweep_tile(w, b, gram, stride_w, stride_b, stride_g, r, columns, m, sweeps, 8)
