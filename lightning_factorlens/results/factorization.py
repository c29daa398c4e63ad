"""What is factorised, and into what.

Letters, as in the papers: N probe images, r rank, X_b a block of features × N (an input channel D_i or a
layer's activations A_j), W_b its non-negative factor (P_i or O_j), F the r × N sample factor all blocks share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

BlockKind = Literal["input", "activation"]


@dataclass(frozen=True)
class Block:
    """One matrix X_b of the coupled factorisation.

    Attributes:
        name: Stable name, e.g. ``input/0`` or ``features.1``.
        kind: Whether it is an input channel or a layer's activations.
        samples: X_bᵀ as captured, shape (N, features): one probe image a row. float32 or float64.
        shape: Shape of one image's features before flattening, e.g. (H, W) or (C, H, W).
        signed: Whether entries below zero are meant; such a block gets a signed factor (semi-NMF).
        expansion: Features of the layer that each kept column stands for; 1 without a feature budget.
        index: Which of the features of ``shape`` the columns are, ascending; None for all of them.
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
    """A coupled factorisation X_b ≈ W_b F at several ranks.

    Attributes:
        ranks: The ranks asked for, ascending.
        F: For each rank the sample factor, shape (r, N), rows of unit norm where no penalty forbids it.
        W: For each rank, for each block, the factor in the block's own units, shape (features, r).
        sse: Σ (X_b − W_b F)², float64, shape (ranks, blocks), unweighted.
        block_names: Names of the blocks, in the order of ``W`` and ``sse``.
        weights: Factor w_b on block b in the objective Σ w_b² ‖X_b − W_b F‖².
        objective: Value of the (penalised) objective at each rank, as a fraction of Σ w_b² ‖X_b‖².
        history: The objective after every pass of the last stage, one list a rank, as it was: a step ahead may rise,
            and is then taken back.
        passes: Passes over the whole problem, the final evaluation included.
        status: What happened and what to do about it, in words.
        shapes: Shape of one image's features, a block; empty where nobody said, and then W has no places.
        index: Which of the features of that shape the rows of W are, a block; None for all of them.
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
