"""What becomes of a layer, and what its components share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LayerInfo:
    """One row of the table of layers: a tensor that a forward pass produced, and what becomes of it.

    Attributes:
        name: Stable name of the call: the module's path, ``-2``, ``-3`` … behind it when one module is
            called again, ``F.relu`` behind the owner's path for a functional call.
        op: Type of the module, or the function's name.
        shape: Shape of one image's output.
        minimum: Smallest value seen.
        kept: Whether the lens factorises it.
        reason: Why, in words.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    minimum: float
    selected: bool
    reason: str


@dataclass(frozen=True)
class LayerSimilarity:
    """Which components of the factorisation use the same neurons of a layer.

    Attributes:
        layer: Name of the block.
        rank: Of the factorisation; also the matrix's size.
        cosine: Cosine between the columns of O_j, shape (rank, rank), float64, on the CPU.
        eigenvalues: Its eigenvalues, descending, shape (rank,).
        off_diagonal: Mean of the cosines of distinct components; NaN at rank 1.
        k: Eigenvalues that enter ``first_k``.
        first_k: Mean of the k largest eigenvalues: 1 when no two components share a neuron.
    """

    layer: str
    rank: int
    cosine: Tensor
    eigenvalues: Tensor
    mean_cosine: float
    k: int
    mean_top_k: float
