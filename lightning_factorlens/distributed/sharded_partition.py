"""The partition of several processes.

First each process captures some samples of all features; `ShardedPartition.exchange` then gives it some features of
all samples. Blocks are cut only at multiples of ``chunk_size``, at which one process alone would process them, too, and
partial sums are float64, so that results do not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lightning_factorlens.distributed.assignment import split_blocks, split_evenly, split_units
from lightning_factorlens.distributed.partition import FEATURE_CHUNK, Batch, Partition
from lightning_factorlens.distributed.process_group import SingleProcess


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
        self._sample_counts = torch.tensor(_lengths(sample_slices))
        #: Number of features, shape (blocks, processes).
        self._widths = torch.tensor(list(map(_lengths, feature_slices)), dtype=torch.long)

    def local_samples(self, batch: Batch) -> Batch:
        """See `Partition.local_samples`."""
        own = self.sample_slices[self.rank]
        return batch[own] if own.stop > own.start else batch[:1]

    def gather_samples(self, rows: Tensor) -> Tensor:
        """See `Partition.gather_samples`."""
        n_columns = rows.shape[1]
        own = rows[: int(self._sample_counts[self.rank])]
        parts = self.process_group.all_gather(own.flatten(), (n_columns * self._sample_counts).tolist())
        return torch.cat(parts).view(-1, n_columns)

    def exchange(self, block: int, samples: Tensor) -> Tensor:
        """See `Partition.exchange`."""
        widths = self._widths[block]
        n_own = int(self._sample_counts[self.rank])
        sent_parts = []
        for columns in samples[:n_own].split(widths.tolist(), 1):
            if columns.shape[1]:
                sent_parts.append(columns.flatten())
        sent = sent_parts[0] if len(sent_parts) == 1 else torch.cat(sent_parts)  # a layer in one process is not copied
        send_lengths = (n_own * widths).tolist()
        receive_lengths = (self._sample_counts * widths[self.rank]).tolist()
        received = self.process_group.all_to_all(sent, send_lengths, receive_lengths)
        return received.view(int(self._sample_counts.sum()), int(widths[self.rank]))

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
        parts = self.process_group.all_gather(samples.flatten(), (N * self._widths[block]).tolist())
        return _join_columns(parts, N)

    def feature_counts(self, samples: Sequence[Tensor]) -> list[int]:
        """See `Partition.feature_counts`."""
        return self._widths.sum(1).tolist()

    def gather_features(self, values: Sequence[Tensor]) -> list[Tensor]:
        """See `Partition.gather_features`."""
        return list(map(torch.cat, self._gather_flat(values, self._widths)))

    def gather_columns(self, samples: Sequence[Tensor], indices: Sequence[Tensor]) -> list[Tensor]:
        """See `Partition.gather_columns`."""
        N = len(samples[0])
        own_columns = []
        counts = torch.zeros_like(self._widths)
        for b, (block, index) in enumerate(zip(samples, indices)):
            for rank, held in enumerate(self.feature_slices[b]):
                held_index = index[(index >= held.start) & (index < held.stop)]
                counts[b, rank] = len(held_index)
                if rank == self.rank:
                    own_columns.append(block.index_select(1, held_index - held.start))
        gathered = []
        for parts in self._gather_flat(own_columns, N * counts):
            gathered.append(_join_columns(parts, N))
        return gathered

    def gather_factors(self, factors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """See `Partition.gather_factors`."""
        rank = factors[0].shape[1]
        gathered = []
        for parts in self._gather_flat(factors, rank * self._widths):
            gathered.append(torch.cat(parts).view(-1, rank))
        return tuple(gathered)

    def map_stack(self, function: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
        """See `Partition.map_stack`."""
        slices = split_evenly(len(stack), self.process_group.world_size)
        own = function(stack[slices[self.rank]])
        n_columns = own.shape[1]
        lengths = n_columns * torch.tensor(_lengths(slices))
        return torch.cat(self.process_group.all_gather(own.flatten(), lengths.tolist())).view(-1, n_columns)

    def _with_features(self, feature_slices: Sequence[Sequence[slice]]) -> ShardedPartition:
        return ShardedPartition(self.process_group, self.sample_slices, feature_slices, self.chunk_size)

    def _gather_flat(self, tensors: Sequence[Tensor], lengths: Tensor) -> list[tuple[Tensor, ...]]:
        """Gathers one tensor per block in a single operation.

        Args:
            tensors: This process's tensor of each block.
            lengths: Number of values, shape (blocks, processes).

        Returns:
            For each block the flat tensors of all processes, ordered by rank.
        """
        flat = torch.cat(list(map(torch.flatten, tensors)))
        by_process = []
        for rank, values in enumerate(self.process_group.all_gather(flat, lengths.sum(0).tolist())):
            by_process.append(values.split(lengths[:, rank].tolist()))
        return list(zip(*by_process))


def make_partition(
    process_group: SingleProcess, unit_ends: Sequence[int], chunk_size: int = FEATURE_CHUNK
) -> Partition:
    """Returns the partition of a probe over the processes, before its layers are known (`Partition.split_features`).

    Args:
        process_group: The processes.
        unit_ends: The ends of the batches that one process passes through the model; the last is the number of samples
            N of the probe.
        chunk_size: Number of features that are processed together and never divided between processes.
    """
    if process_group.world_size == 1:
        return Partition(chunk_size)
    sample_slices = split_units(unit_ends, process_group.world_size)
    return ShardedPartition(process_group, sample_slices, chunk_size=chunk_size)


def _lengths(slices: Sequence[slice]) -> list[int]:
    return [part.stop - part.start for part in slices]


def _join_columns(parts: Sequence[Tensor], N: int) -> Tensor:
    """Joins flat tensors of shape (N, ·) along their columns."""
    return torch.cat([part.view(N, len(part) // N) for part in parts], 1)
