"""Which samples and which features of every block a process holds, and the operations on what the others hold.

`Partition` is the default: one process holds everything, and every operation returns its argument. `ShardedPartition`
describes several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor

from lightning_factorlens.distributed.single_process import SingleProcess

#: Features that are processed together, so that their products stay in the processor's cache.
FEATURE_CHUNK = 8192


class Sliceable(Protocol):
    """A batch of samples from which consecutive samples can be taken."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Returns the samples of ``rows``."""


Batch = TypeVar("Batch", bound=Sliceable)


class Partition:
    """One process that holds all samples and all features.

    Blocks are given as their ``samples``, shape (N, features), in the order of the problem's blocks.

    Args:
        chunk_size: Number of features that are processed together.

    Attributes:
        process_group: The processes that hold the other parts.
        is_sharded: Whether there are other parts.
    """

    is_sharded = False

    def __init__(self, chunk_size: int = FEATURE_CHUNK) -> None:
        self.chunk_size = chunk_size
        self.process_group = SingleProcess()

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Returns the sum over the processes of a sum over each process's own features."""
        return self.process_group.all_reduce_sum(tensor)

    def broadcast(self, tensor: Tensor) -> Tensor:
        """Returns process 0's tensor: on different processors the same operations may differ in the last digits."""
        return self.process_group.broadcast(tensor)

    # Samples: before `exchange` a process holds all features of its own samples.

    def local_samples(self, batch: Batch) -> Batch:
        """Returns this process's samples of a batch of all samples.

        A process without own samples gets the first two, which it needs for the shapes of the captured layers; a model
        may fail for one alone.
        """
        return batch

    def gather_samples(self, rows: Tensor | None) -> Tensor | None:
        """Returns the rows of all samples, shape (N, K), given those for `local_samples`.

        None if some process has no rows or rows of another length.
        """
        return rows

    def exchange(self, samples: list[Tensor]) -> list[Tensor]:
        """Returns this process's features of every block for all samples.

        Args:
            samples: All features of every block for `local_samples`. The list is emptied where the tensors are sent, so
                that their memory can be released.
        """
        return samples

    # Features: after `exchange` a process holds its own features of all samples.

    def split_features(self, feature_counts: Sequence[int]) -> Partition:
        """Returns a partition of the same samples and of blocks with these numbers of features."""
        return self

    def select_blocks(self, blocks: Sequence[int]) -> Partition:
        """Returns a partition whose k-th block is distributed like block ``blocks[k]`` of this one."""
        return self

    def join(self, partitions: Sequence[Partition]) -> Partition:
        """Returns a partition of the blocks of all ``partitions``, one after the other."""
        return self

    def local_features(self, block: int, samples: Tensor) -> Tensor:
        """Returns this process's features of a block, given all of them as the last dimension."""
        return samples

    def gather_blocks(self, blocks: Sequence[int], samples: Sequence[Tensor]) -> list[Tensor]:
        """Returns all features of some blocks, each of shape (N, features).

        Args:
            blocks: Their indices.
            samples: This process's features of each of them, all of one dtype and N.
        """
        return list(samples)

    def feature_counts(self, samples: Sequence[Tensor]) -> list[int]:
        """Returns the number of features of each block in all processes together."""
        return [block.shape[-1] for block in samples]

    def gather_features(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Returns one value per feature for all features of each block, given those of this process's features."""
        return list(values)

    def gather_columns(self, samples: Sequence[Tensor], indices: Sequence[Tensor]) -> list[Tensor]:
        """Returns some features of each block.

        Args:
            samples: This process's features of each block.
            indices: For each block the ascending indices of the features among all features of that block.

        Returns:
            For each block shape (N, indices), on the block's device.
        """
        gathered = []
        for block, index in zip(samples, indices):
            gathered.append(block.index_select(1, index.to(block.device)))
        return gathered

    def gather_factors(self, factors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns each block's factor for all features, shape (features, rank), given that for this process's."""
        return tuple(factors)

    def map_stack(self, function: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
        """Applies a function to a stack of tensors that all processes hold; each process computes some of the results.

        Args:
            function: Maps a stack, shape (k, …), to shape (k, n).
            stack: Shape (k, …), the same in all processes.

        Returns:
            Shape (k, n).
        """
        return function(stack)
