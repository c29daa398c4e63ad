"""The partition of several processes.

First each process captures some samples of all features; `ShardedPartition.exchange` then gives it some features of
all samples. Blocks are cut at multiples of ``chunk_size``, at which one process alone would process them, too, and
partial sums are float64, so that results do not depend on the number of processes. Where there are more processes than
such chunks, blocks are cut into smaller ones (`feature_unit`), and results differ by the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lightning_factorlens.distributed.assignment import feature_unit, split_blocks, split_evenly, split_units
from lightning_factorlens.distributed.partition import FEATURE_CHUNK, Batch, Partition
from lightning_factorlens.distributed.single_process import SingleProcess

#: Blocks are gathered in one operation up to this size, above which memory for a second copy matters more than time.
GATHERED_BYTES = 64 * 2**20


class ShardedPartition(Partition):
    """Several processes, each with some features of every block for all samples.

    Args:
        process_group: The processes.
        sample_slices: The samples that each process captures.
        feature_slices: For each block the features that each process holds.
        chunk_size: Number of features that are processed together.
        unit: Number of features that are never divided between processes; that of the first blocks that are split
            unless given.
    """

    is_sharded = True

    def __init__(
        self,
        process_group: SingleProcess,
        sample_slices: Sequence[slice],
        feature_slices: Sequence[Sequence[slice]] = (),
        chunk_size: int = FEATURE_CHUNK,
        unit: int | None = None,
    ) -> None:
        super().__init__(chunk_size)
        self._unit = unit
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
        return batch[own] if own.stop > own.start else batch[:2]

    def gather_samples(self, rows: Tensor | None) -> Tensor | None:
        """See `Partition.gather_samples`."""
        own = None
        if rows is not None:
            own = rows[: int(self._sample_counts[self.rank])].cpu().clone()  # of a view all memory would be sent
        gathered: list[Tensor] = []
        for part in self.process_group.all_gather_object(own):
            if part is None or rows is None or part.shape[1] != rows.shape[1]:
                return None
            gathered.append(part.to(rows.device))
        return torch.cat(gathered)

    def exchange(self, samples: list[Tensor]) -> list[Tensor]:
        """See `Partition.exchange`."""
        n_own = int(self._sample_counts[self.rank])
        sent: list[Tensor] = []
        send_lengths = []
        receive_lengths = []
        for widths in self._widths:
            parts = []
            for columns in samples.pop(0)[:n_own].split(widths.tolist(), 1):
                if columns.shape[1]:
                    parts.append(columns.flatten())
            sent.append(parts[0] if len(parts) == 1 else torch.cat(parts))  # a layer in one process is not copied
            send_lengths.append((n_own * widths).tolist())
            receive_lengths.append((self._sample_counts * widths[self.rank]).tolist())
        N = int(self._sample_counts.sum())
        received = []
        for flat, widths in zip(self.process_group.all_to_all(sent, send_lengths, receive_lengths), self._widths):
            received.append(flat.view(N, int(widths[self.rank])))
        return received

    def split_features(self, feature_counts: Sequence[int]) -> ShardedPartition:
        """See `Partition.split_features`."""
        world_size = self.process_group.world_size
        unit = self._unit or feature_unit(feature_counts, world_size, self.chunk_size)
        return self._with_features(split_blocks(feature_counts, world_size, unit), unit)

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

    def gather_blocks(self, blocks: Sequence[int], samples: Sequence[Tensor]) -> list[Tensor]:
        """See `Partition.gather_blocks`."""
        gathered: list[Tensor] = []
        for group in self._groups(blocks, samples):
            part = samples[len(gathered) : len(gathered) + len(group)]
            N = len(part[0])
            for columns in self._gather_flat(part, N * self._widths[group]):
                gathered.append(_join_columns(columns, N))
        return gathered

    def _groups(self, blocks: Sequence[int], samples: Sequence[Tensor]) -> list[list[int]]:
        """Divides blocks into consecutive groups that are gathered at once: a large block alone, small ones in one."""
        groups: list[list[int]] = []
        n_bytes = 0
        for block, own in zip(blocks, samples):
            size = len(own) * int(self._widths[block].sum()) * own.element_size()
            if not groups or n_bytes + size > GATHERED_BYTES:
                groups.append([])
                n_bytes = 0
            groups[-1].append(block)
            n_bytes += size
        return groups

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
            ends = torch.tensor([held.stop for held in self.feature_slices[b]])
            first_beyond = torch.searchsorted(index.cpu(), ends)
            counts[b] = first_beyond.diff(prepend=first_beyond.new_zeros(1))
            stop = int(first_beyond[self.rank])
            held_index = index[stop - int(counts[b, self.rank]) : stop]
            start = self.feature_slices[b][self.rank].start
            own_columns.append(block.index_select(1, held_index.to(block.device) - start))
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

    def _with_features(self, feature_slices: Sequence[Sequence[slice]], unit: int | None = None) -> ShardedPartition:
        unit = unit or self._unit
        return ShardedPartition(self.process_group, self.sample_slices, feature_slices, self.chunk_size, unit)

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
        unit_ends: The positions at which the probe may be divided; the last is its number of samples N.
        chunk_size: Number of features that are processed together.
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
