"""Concepts: a sample factor fitted to chosen layers, to which pixels and all other layers are joined afterwards.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", eq. 1, couples
all layers with the inputs, so that early layers and pixels, which are most of the blocks, decide what a component is.
With F fitted to the last layers alone, its components show images of the same kind. Every other block follows from F by
non-negative least squares, so that images, pixels and neurons still have one common latent space.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.concepts.joined_blocks import (
    alive_blocks,
    channel_means,
    join_blocks,
    last_layer,
    total_error,
    whole_block,
)
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import Solver, Weighting, factorize
from lightning_factorlens.linalg.matching import order_like
from lightning_factorlens.linalg.threads import limit_threads
from lightning_factorlens.results import Block, Concepts

#: Number of layers that ``fit_on="late"`` chooses.
N_LATE = 2


def fit_late(
    blocks: Sequence[Block],
    rank: int = 10,
    fit_on: str | Sequence[str] = "late",
    *,
    inputs: Tensor,
    predictions: Tensor | None = None,
    probabilities: Tensor | None = None,
    weighting: Weighting = "unit",
    solver: Solver | str | None = None,
    seed: int = 0,
    start: Tensor | Literal["random"] | None = None,
    partition: Partition | None = None,
) -> Concepts:
    """Fits F to some blocks, then W ≥ 0 of every block to F by least squares.

    Args:
        blocks: From `concept_blocks`.
        rank: Number of concepts, from 1 to the number of samples.
        fit_on: The blocks to which F is fitted: ``"late"`` for the last two layers that are not zero, ``"all"`` for
            every block, or names of blocks.
        inputs: The probe, shape (N, …), for the functions that show it.
        predictions: Predicted classes, shape (N,), for the functions that name concepts; they have no influence on F.
        probabilities: From `class_probabilities`, for `clarity`; they have no influence on F.
        weighting: See `factorize`.
        solver: See `factorize`.
        seed: See `factorize`.
        start: ``F`` of an earlier fit to the same samples, shape (rank, N), from which the fit continues; concept k is
            then what has become of row k, also where the fit has to start anew: it is put into the order that matches
            the rows best. ``"random"`` starts from random values without NNDSVD.
        partition: Which features of the blocks this process holds, where several processes find the concepts together;
            None for all.

    Returns:
        The concepts, the same in all processes.

    Raises:
        ValueError: A rank that is not from 1 to N, names that no block has, a model with no layer that is not zero, or
            a ``start`` of another shape.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> from lightning_factorlens.concepts.blocks import concept_blocks
        >>> images, hidden = torch.rand(8, 1, 4, 4), Block("relu", "activation", torch.rand(8, 5), (5,))
        >>> concepts = fit_late(concept_blocks(images, [hidden]), rank=2, inputs=images)
        >>> tuple(concepts.F.shape), [(block.name, block.is_fitted) for block in concepts.blocks]
        ((2, 8), [('input/0', False), ('relu', True)])
    """
    check_rank(rank, len(inputs))
    partition = partition or Partition()
    names = [block.name for block in choose_blocks(blocks, fit_on, partition)]
    with limit_threads(sum(block.samples.numel() for block in blocks)), torch.no_grad():
        whole = {b: whole_block(blocks, b, partition) for b, block in enumerate(blocks) if block.name in names}
        starts = [start] if isinstance(start, Tensor) else start
        result = factorize(list(whole.values()), [rank], solver=solver, weighting=weighting, seed=seed, start=starts)
        F = order_like(start, result.F[0]) if isinstance(start, Tensor) else result.F[0]
        F = partition.broadcast(F)
        found = join_blocks(blocks, F, names, partition)
        last = last_layer(blocks, alive_blocks(blocks, partition))
        features = channel_means(whole[last] if last in whole else whole_block(blocks, last, partition))
    return Concepts(
        rank=rank,
        F=F.cpu(),
        blocks=tuple(found),
        fit_on=fit_on if isinstance(fit_on, str) else tuple(fit_on),
        rel_error=total_error(found),
        inputs=inputs.detach().cpu(),
        features=features.cpu(),
        predictions=None if predictions is None else predictions.cpu(),
        status=result.status,
        probabilities=None if probabilities is None else probabilities.cpu(),
    )


def choose_blocks(
    blocks: Sequence[Block], fit_on: str | Sequence[str], partition: Partition | None = None
) -> list[Block]:
    """The blocks to which F is fitted.

    Args:
        blocks: All blocks.
        fit_on: See `fit_late`.
        partition: See `fit_late`.

    Raises:
        ValueError: See `fit_late`.

    Example:
        >>> layers = [Block(f"relu{i}", "activation", torch.ones(4, 3), (3,)) for i in range(4)]
        >>> [block.name for block in choose_blocks(layers, "late")]
        ['relu2', 'relu3']
    """
    names = [block.name for block in blocks]
    if fit_on == "all":
        return list(blocks)
    if fit_on == "late":
        is_alive = alive_blocks(blocks, partition or Partition())
        alive = [block for block, has_values in zip(blocks, is_alive) if block.kind == "activation" and has_values]
        if not alive:
            raise ValueError(
                "fit_on: 'late' needs a layer with values other than 0, and there is none. Observe other layers with "
                "LensOptions(layers=…), or pass fit_on='all' to fit the inputs as well."
            )
        return alive[-N_LATE:]
    wanted = [fit_on] if isinstance(fit_on, str) or not isinstance(fit_on, Iterable) else list(fit_on)
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        found = repr(unknown[0]) if unknown else "no names"
        raise ValueError(
            f"fit_on: found {found}, allowed are 'late' or 'all' alone, or one or more of "
            f"{', '.join(map(repr, names))}."
        )
    return [block for block in blocks if block.name in wanted]


def check_rank(rank: int, n_samples: int) -> None:
    """Raises ValueError for a rank that is not a whole number from 1 to the number of samples.

    Example:
        >>> check_rank(3, 2)
        Traceback (most recent call last):
        ValueError: rank: 3 concepts need at least 3 samples, found 2; lower the rank or pass more samples.
    """
    check_int("rank", rank, 1)
    if rank > n_samples:
        raise ValueError(
            f"rank: {rank} concepts need at least {rank} samples, found {n_samples}; lower the rank or pass more "
            "samples."
        )
