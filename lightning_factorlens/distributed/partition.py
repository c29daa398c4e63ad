"""Which samples and which features of every block a process holds, and the operations that need the others'.

`Partition` is the default: one process holds everything, and every operation returns its argument. `ShardedPartition`
describes several processes. First each of them captures some samples of all features; `exchange` then gives each
process some features of all samples. Blocks are cut only at multiples of ``chunk_size``, at which one process alone
would process them, too, and partial sums are float64, so that results do not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from lightning_factorlens.distributed.assignment import split_blocks, split_evenly
from lightning_factorlens.distributed.process_group import SingleProcess

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

        A process without own samples gets the first one, from which it learns the shapes of the captured layers.
        """
        return batch

    def gather_samples(self, rows: Tensor) -> Tensor:
        """Returns the rows of all samples, shape (N, K), given those for `local_samples`."""
        return rows

    def exchange(self, block: int, samples: Tensor) -> Tensor:
        """Returns this process's features of all samples, given all features for `local_samples`."""
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

    def gather_block(self, block: int, samples: Tensor) -> Tensor:
        """Returns all features of a block, shape (N, features), given this process's."""
        return samples

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
        return [block.index_select(1, index.to(block.device)) for block, index in zip(samples, indices)]

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


class ShardedPartition(Partition):
    """Several processes, each with some features of every block for all samples.

    Args:
        process_group: The processes.
        sample_slices: The samples that each process captures.
        feature_slices: For each block the features that each process holds.
        chunk_size: Number of features that are processed together and never divided between processes.
    """

    is_sharded = True

    def __init__(
        self,
        process_group: SingleProcess,
        sample_slices: Sequence[slice],
        feature_slices: Sequence[Sequence[slice]] = (),
        chunk_size: int = FEATURE_CHUNK,
    ) -> None:
        super().__init__(chunk_size)
        self.process_group = process_group
        self.rank = process_group.rank
        self.sample_slices = sample_slices
        self.feature_slices = feature_slices
        self._sample_counts = _lengths(sample_slices)
        self._widths = [_lengths(slices) for slices in feature_slices]

    def local_samples(self, batch: Batch) -> Batch:
        """See `Partition.local_samples`."""
        own = self.sample_slices[self.rank]
        return batch[own] if own.stop > own.start else batch[:1]

    def gather_samples(self, rows: Tensor) -> Tensor:
        """See `Partition.gather_samples`."""
        n_columns = rows.shape[1]
        own = rows[: self._sample_counts[self.rank]]
        lengths = [n_columns * count for count in self._sample_counts]
        return torch.cat(self.process_group.all_gather(own.flatten(), lengths)).view(-1, n_columns)

    def exchange(self, block: int, samples: Tensor) -> Tensor:
        """See `Partition.exchange`."""
        n_own = self._sample_counts[self.rank]
        own = samples[:n_own]
        parts = [own[:, columns].flatten() for columns in self.feature_slices[block] if columns.stop > columns.start]
        sent = parts[0] if len(parts) == 1 else torch.cat(parts)  # a layer that one process keeps is not copied
        width = self._widths[block][self.rank]
        send_lengths = [n_own * other_width for other_width in self._widths[block]]
        receive_lengths = [count * width for count in self._sample_counts]
        received = self.process_group.all_to_all(sent, send_lengths, receive_lengths)
        return received.view(sum(self._sample_counts), width)

    def split_features(self, feature_counts: Sequence[int]) -> ShardedPartition:
        """See `Partition.split_features`."""
        return self._with_features(split_blocks(feature_counts, self.process_group.world_size, self.chunk_size))

    def select_blocks(self, blocks: Sequence[int]) -> ShardedPartition:
        """See `Partition.select_blocks`."""
        return self._with_features([self.feature_slices[block] for block in blocks])

    def join(self, partitions: Sequence[Partition]) -> ShardedPartition:
        """See `Partition.join`."""
        feature_slices: list[Sequence[slice]] = []
        for partition in partitions:
            assert isinstance(partition, ShardedPartition)
            feature_slices.extend(partition.feature_slices)
        return self._with_features(feature_slices)

    def local_features(self, block: int, samples: Tensor) -> Tensor:
        """See `Partition.local_features`."""
        return samples[..., self.feature_slices[block][self.rank]].contiguous()

    def gather_block(self, block: int, samples: Tensor) -> Tensor:
        """See `Partition.gather_block`."""
        N = len(samples)
        lengths = [N * width for width in self._widths[block]]
        parts = self.process_group.all_gather(samples.flatten(), lengths)
        return _join_columns(parts, N)

    def feature_counts(self, samples: Sequence[Tensor]) -> list[int]:
        """See `Partition.feature_counts`."""
        return [sum(widths) for widths in self._widths]

    def gather_features(self, values: Sequence[Tensor]) -> list[Tensor]:
        """See `Partition.gather_features`."""
        return [torch.cat(parts) for parts in self._gather_flat(values, self._widths)]

    def gather_columns(self, samples: Sequence[Tensor], indices: Sequence[Tensor]) -> list[Tensor]:
        """See `Partition.gather_columns`."""
        N = len(samples[0])
        own_columns = []
        lengths = []
        for block, index, slices in zip(samples, indices, self.feature_slices):
            held = [index[(index >= columns.start) & (index < columns.stop)] for columns in slices]
            own_columns.append(block.index_select(1, held[self.rank] - slices[self.rank].start))
            lengths.append([N * len(part) for part in held])
        return [_join_columns(parts, N) for parts in self._gather_flat(own_columns, lengths)]

    def gather_factors(self, factors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """See `Partition.gather_factors`."""
        rank = factors[0].shape[1]
        lengths = [[rank * width for width in widths] for widths in self._widths]
        return tuple(torch.cat(parts).view(-1, rank) for parts in self._gather_flat(factors, lengths))

    def map_stack(self, function: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
        """See `Partition.map_stack`."""
        slices = split_evenly(len(stack), self.process_group.world_size)
        own = function(stack[slices[self.rank]])
        n_columns = own.shape[1]
        lengths = [n_columns * length for length in _lengths(slices)]
        return torch.cat(self.process_group.all_gather(own.flatten(), lengths)).view(-1, n_columns)

    def _with_features(self, feature_slices: Sequence[Sequence[slice]]) -> ShardedPartition:
        return ShardedPartition(self.process_group, self.sample_slices, feature_slices, self.chunk_size)

    def _gather_flat(self, tensors: Sequence[Tensor], lengths: Sequence[Sequence[int]]) -> Iterator[list[Tensor]]:
        """Gathers one tensor per block in a single operation.

        Args:
            tensors: This process's tensor of each block.
            lengths: For each block the number of values in each process.

        Returns:
            For each block the flat tensors of all processes, ordered by rank.
        """
        lengths_by_rank = list(zip(*lengths))
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        gathered = self.process_group.all_gather(flat, [sum(own) for own in lengths_by_rank])
        split = [values.split(own) for values, own in zip(gathered, lengths_by_rank)]
        return map(list, zip(*split))


def make_partition(
    process_group: SingleProcess, n_samples: int, batch_size: int, chunk_size: int = FEATURE_CHUNK
) -> Partition:
    """Returns the partition of a probe over the processes, before its layers are known (`Partition.split_features`).

    Args:
        process_group: The processes.
        n_samples: Number of samples N of the probe.
        batch_size: Samples that one process passes through the model together.
        chunk_size: Number of features that are processed together and never divided between processes.
    """
    if process_group.world_size == 1:
        return Partition(chunk_size)
    sample_slices = split_evenly(n_samples, process_group.world_size, batch_size)
    return ShardedPartition(process_group, sample_slices, chunk_size=chunk_size)


def _lengths(slices: Sequence[slice]) -> list[int]:
    return [part.stop - part.start for part in slices]


def _join_columns(parts: Sequence[Tensor], N: int) -> Tensor:
    """Joins flat tensors of shape (N, ·) along their columns."""
    return torch.cat([part.view(N, len(part) // N) for part in parts], 1)
