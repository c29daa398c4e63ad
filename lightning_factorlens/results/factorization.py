"""The blocks of a coupled factorization, and its result.

Letters, as in Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization":
N samples of the probe; r, the rank; X_b, a block of features × N (an input channel D_i or the activations A_j of a
layer); W_b, its non-negative factor (P_i or O_j); F, the r × N sample factor, which is common to all blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

BlockKind = Literal["input", "activation"]


@dataclass(frozen=True)
class Block:
    """One matrix X_b of the coupled factorization.

    Attributes:
        name: Stable name, e.g. ``input/0`` or ``features.1``.
        kind: Whether it is an input channel or the activations of a layer.
        samples: X_bᵀ as captured, shape (N, features), one sample per row. A fit computes in float64 if any block has
            it, otherwise in float32, to which other dtypes are converted. In a run of several processes it has only
            the features of this process, see `lightning_factorlens.distributed.Partition`.
        shape: Shape of one sample's features before flattening, e.g. (H, W) or (C, H, W).
        signed: Whether entries may be negative; such a block gets a signed factor (semi-NMF). A fit refuses negative
            entries of other blocks.
        sampling_factor: Number of features of the layer for each kept column; 1 if all are kept.
        kept_features: Indices of the columns among the features of ``shape``, ascending; None if all are kept.
    """

    name: str
    kind: BlockKind
    samples: Tensor
    shape: tuple[int, ...]
    signed: bool = False
    sampling_factor: float = 1.0
    kept_features: Tensor | None = None


@dataclass(frozen=True)
class Factorization:
    """A coupled factorization X_b ≈ W_b F at several ranks.

    Attributes:
        ranks: The ranks, ascending.
        F: For each rank the sample factor, shape (r, N); its rows have unit norm unless there are penalties.
        W: For each rank and block the factor in the block's own units, shape (features, r).
        sse: Σ (X_b − W_b F)², float64, shape (ranks, blocks), unweighted.
        block_names: Names of the blocks, in the order of ``W`` and ``sse``.
        weights: Factor w_b of each block in the objective Σ w_b² ‖X_b − W_b F‖².
        objective: The (penalised) objective at each rank, as a fraction of Σ w_b² ‖X_b‖².
        history: For each rank the objective after every iteration of the last stage. It may rise after an extrapolated
            step, which is then taken back.
        n_iter: Number of iterations over all feature rows, including the final one.
        status: Whether the fit converged and, if not, which option to change.
        shapes: For each block the shape of one sample's features; empty if unknown, in which case the rows of W have
            no position in an image.
        kept_features: For each block the indices of W's rows among the features of that shape; None for all of them.
    """

    ranks: tuple[int, ...]
    F: tuple[Tensor, ...]
    W: tuple[tuple[Tensor, ...], ...]
    sse: Tensor
    block_names: tuple[str, ...]
    weights: tuple[float, ...]
    objective: tuple[float, ...]
    history: tuple[tuple[float, ...], ...]
    n_iter: int
    status: str
    shapes: tuple[tuple[int, ...], ...] = ()
    kept_features: tuple[Tensor | None, ...] = ()
