"""What one of many processes passes through the model, holds and receives in a warm observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.scale.shares import SimulatedGroup
from lightning_factorlens.distributed import assign_greedy, make_partition, split_units

SAMPLES = 256
CLASSES = 1000
#: Components of the ranks 1, 2, 4, 8, 16 and 32.
COMPONENTS = 63
SAMPLED_ROWS = 4096
#: Blocks of a vision transformer with 40 layers: three input channels and the 20 layers that are selected by default.
N_BLOCKS = 23
KEPT_FEATURES = 4096
#: Rows and columns of its weights, in each of its 40 layers.
WIDTH = 1408
HIDDEN = 6144
DEPTH = 40


class CountingGroup(SimulatedGroup):
    """Counts exchanges and sums as well, these as a ring receives them: nearly twice their size."""

    def all_to_all(
        self, tensors: list[Tensor], send_lengths: Sequence[Sequence[int]], receive_lengths: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Returns uninitialized tensors."""
        received = []
        for tensor, lengths in zip(tensors, receive_lengths):
            received.append(tensor.new_empty(sum(lengths)))
            self.received += received[-1].nbytes
        return received

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Returns the tensor itself."""
        self.received += 2 * tensor.nbytes * (self.world_size - 1) // self.world_size
        return tensor


def process_share(world_size: int) -> dict[str, float]:
    """The largest shares of a process, and the bytes that the last process receives by operation."""
    group = CountingGroup(world_size - 1, world_size)
    widths = (KEPT_FEATURES,) * N_BLOCKS
    partition = make_partition(group, range(1, SAMPLES + 1))
    images = [part.stop - part.start for part in split_units(range(1, SAMPLES + 1), world_size)]
    whole = [torch.empty(max(1, images[-1]), width) for width in widths]
    partition = partition.split_features(widths)
    held = [partition.local_features(b, torch.empty(SAMPLES, width)) for b, width in enumerate(widths)]
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(sum(widths), generator=generator)[:SAMPLED_ROWS].sort().values
    indices = [rows[(rows >= a) & (rows < a + KEPT_FEATURES)] - a for a in range(0, sum(widths), KEPT_FEATURES)]
    squares = sum(rank**2 for rank in (1, 2, 4, 8, 16, 32))
    matrices, owners = weight_matrices(world_size)
    eigenvalues = [0] * world_size
    for (shorter, _), owner in zip(matrices, owners):
        eigenvalues[owner] += shorter
    operations: dict[str, Callable[[], Any]] = {
        "exchange of activations": lambda: partition.exchange(list(whole)),
        "outputs, twice": lambda: _gather_outputs(group, images),
        "norms of features": lambda: partition.gather_features([block[0] for block in held]),
        "sampled features": lambda: partition.gather_columns(held, indices),
        "sums of the last pass": lambda: group.all_reduce_sum(torch.empty(COMPONENTS * SAMPLES + squares).double()),
        "factors": lambda: partition.gather_factors([block[:COMPONENTS].T for block in held]),
        "Gram matrices": lambda: group.all_reduce_sum(torch.empty(N_BLOCKS, SAMPLES, SAMPLES).double()),
        "eigenvalues of weights": lambda: group.all_gather(torch.empty(eigenvalues[-1]).double(), eigenvalues),
    }
    found: dict[str, float] = {}
    for name, operation in operations.items():
        group.received = 0
        operation()
        found[name] = group.received
    found["bytes"] = sum(found.values())
    slices = partition.feature_slices  # type: ignore[attr-defined]
    features = [sum(parts[rank].stop - parts[rank].start for parts in slices) for rank in range(world_size)]
    return {"images": max(images), "features": max(features), "matrices": _most(owners, world_size), **found}


def weight_matrices(world_size: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Shorter and longer side of the weights of the transformer's layers, and the process of each."""
    of_layer = [(WIDTH, WIDTH)] * 4 + [(WIDTH, HIDDEN)] * 2
    matrices = of_layer * DEPTH
    costs = [float(shorter**2 * longer) for shorter, longer in matrices]
    return matrices, assign_greedy(costs, [0] * world_size)


def _gather_outputs(group: SimulatedGroup, images: Sequence[int]) -> None:
    """Gathers the outputs of the probe, and those of the shifted probe."""
    lengths = [CLASSES * count for count in images]
    for _ in range(2):
        group.all_gather(torch.empty(lengths[group.rank]), lengths)


def _most(owners: Sequence[int], world_size: int) -> int:
    counts = [0] * world_size
    for owner in owners:
        counts[owner] += 1
    return max(counts)
