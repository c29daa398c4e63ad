"""The kernel of `nnls_triton`, which alone imports this, and only when it is needed: this file imports Triton."""

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

    The tile of W stays in registers, every thread with all components of its column: sums over components cross no
    thread. A register has no index at run time, so the components are taken eight at a time: these come out of the
    tile by a mask, are swept one by one in unrolled code, and go back. The last sweep stores each row as it makes it.
    """
    part = tl.arange(0, PARTS)
    i = tl.arange(0, 8)
    k = part[:, None] * 8 + i[None, :]
    mask = (k < r)[:, :, None] & (columns < m)[None, None, :]
    w = tl.load(W + k[:, :, None].to(tl.int64) * stride_w + columns[None, None, :], mask=mask, other=0.0)
    largest = tl.max(tl.max(tl.load(G + k * (stride_g + 1), mask=k < r, other=0.0), axis=0), axis=0)
    for sweep in range(sweeps):
        for p in range(tl.cdiv(r, 8)):
            eight = tl.sum(tl.where((part == p)[:, None, None], w, 0.0), axis=0)
            for j in tl.static_range(8):
                row = p * 8 + j
                rows = tl.where(row < r, r, 0)  # past the last row nothing is read
                g = tl.load(G + row * stride_g + k, mask=(k < rows) & (part != p)[:, None], other=0.0)
                near = tl.load(G + row * stride_g + p * 8 + i, mask=(p * 8 + i < rows) & (i != j), other=0.0)
                own = tl.load(G + row * (stride_g + 1), mask=row < r, other=0.0)
                b = tl.load(
                    B + row.to(tl.int64) * stride_b + columns, mask=columns < tl.where(row < r, m, 0), other=0.0
                )
                b -= tl.sum(tl.sum(g[:, :, None] * w, axis=0), axis=0) + tl.sum(near[:, None] * eight, axis=0)
                new = tl.maximum(b / tl.maximum(own, 1.1754943508222875e-38), 0.0)
                live = own > 1e-12 * largest
                eight = tl.where((i == tl.where(live, j, -1))[:, None], new[None, :], eight)
                end = tl.where(live & (sweep == sweeps - 1), m, 0)
                tl.store(W + row.to(tl.int64) * stride_w + columns, new, mask=columns < end)
            w = tl.where((part == p)[:, None, None], eight[None, :, :], w)


# Compiled once for all shapes and alignments: a column a thread gains nothing from them.
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
    """HALS sweeps over all groups: program (x, y) takes columns x·COLUMNS and on of the group in row y of the table.

    A row of the table: the group's first row in W and B, its size, where its Gram matrix begins in G, and how far apart
    the rows of that are.
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
    # The outer conditions are settled when the kernel is compiled.
    if LARGEST > 8:  # noqa: SIM102
        if (r > 8) & (r <= 16):
            _sweep_tile(w, b, gram, stride_w, stride_b, stride_g, r, columns, m, sweeps, 2)
    if LARGEST > 16:  # noqa: SIM102
        if (r > 16) & (r <= 32):
            _sweep_tile(w, b, gram, stride_w, stride_b, stride_g, r, columns, m, sweeps, 4)
    if LARGEST > 32:  # noqa: SIM102
        if r > 32:
            _sweep_tile(w, b, gram, stride_w, stride_b, stride_g, r, columns, m, sweeps, 8)
