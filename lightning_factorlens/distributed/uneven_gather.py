"""Gathers tensors of different lengths: all backends gather tensors of one length alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.distributed as dist
from torch import Tensor

#: Tensors are padded to the longest one if all together have at most so many times their true length then.
LARGEST_PADDING = 1.5


class UnevenGather:
    """The flat tensors of all processes, gathered when the object is called.

    If padding them to the longest would add much, each process first sends its tensor to others such that all have an
    equal part of the whole. The buffers are allocated by the constructor, so that its failure can be reported before
    the other processes wait.

    Args:
        tensor: This process's tensor, shape (lengths[rank],).
        lengths: Length of each process's tensor.
        rank: Index of this process.
        device: Device of the transfer.
        group: The processes.
    """

    def __init__(
        self,
        tensor: Tensor,
        lengths: Sequence[int],
        rank: int,
        device: torch.device,
        group: dist.ProcessGroup | None,
    ) -> None:
        self.lengths = list(lengths)
        self.rank = rank
        self.group = group
        self._device = tensor.device
        self._total = sum(lengths)
        self._is_padded = max(lengths) * len(lengths) <= LARGEST_PADDING * self._total
        size = max(lengths) if self._is_padded else -(-self._total // len(lengths))
        self._content = tensor.to(device).contiguous()
        self._own = self._content.new_zeros(size)
        self._gathered = self._content.new_empty(len(lengths), size)

    def __call__(self) -> list[Tensor]:
        """Returns the tensors ordered by the rank of their process, on the device of this process's."""
        if not self._total:
            return list(self._gathered.to(self._device))
        if self._is_padded:
            self._own[: len(self._content)] = self._content
        else:
            self._deal_equally()
        dist.all_gather(list(self._gathered), self._own, group=self.group)
        if self._is_padded:
            parts = zip(self._gathered, self.lengths)
            return [part[:length].to(self._device) for part, length in parts]
        flat = self._gathered.flatten()[: self._total]
        return list(flat.to(self._device).split(self.lengths))

    def _deal_equally(self) -> None:
        """Gives each process an equal part of all processes' tensors, one after the other."""
        size = len(self._own)
        parts = []
        for rank in range(len(self.lengths)):
            parts.append((min(self._total, rank * size), min(self._total, (rank + 1) * size)))
        tensors = []
        for end, length in zip(accumulate(self.lengths), self.lengths):
            tensors.append((end - length, end))
        send_lengths = [_overlap(tensors[self.rank], part) for part in parts]
        receive_lengths = [_overlap(tensor, parts[self.rank]) for tensor in tensors]
        received = self._own[: sum(receive_lengths)]
        dist.all_to_all_single(received, self._content, receive_lengths, send_lengths, group=self.group)


def _overlap(first: tuple[int, int], second: tuple[int, int]) -> int:
    """Returns the length of the intersection of two intervals, given as start and end."""
    return max(0, min(first[1], second[1]) - max(first[0], second[0]))
