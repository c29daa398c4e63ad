"""Collective operations over the processes of a run.

`ProcessGroup` wraps a group of torch.distributed. Every operation of it is a collective: all processes must call it, in
the same order. Errors are raised by all of them, see `synchronized_group`. `SingleProcess` is a run of one process, in
which every operation is the identity.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lightning_factorlens.distributed.single_process import SingleProcess
from lightning_factorlens.distributed.synchronized_group import SynchronizedGroup
from lightning_factorlens.distributed.uneven_gather import UnevenGather

T = TypeVar("T")


class ProcessGroup(SynchronizedGroup):
    """A group of torch.distributed.

    Args:
        device: Device of this process's model.
        group: The group, of which this process is a member; None for the default one. Of a sharded model it must hold
            all processes between which the parameters are divided.
    """

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """See `SingleProcess.all_reduce_sum`."""
        buffer = tensor.to(self._transfer_device).contiguous()
        self._handshake("all_reduce_sum", *tensor.shape)
        dist.all_reduce(buffer, group=self.group)
        return buffer.to(tensor.device)

    def all_reduce_min(self, values: Sequence[float]) -> list[float]:
        """See `SingleProcess.all_reduce_min`."""
        comparable = torch.tensor(values, dtype=torch.float64).nan_to_num(nan=-torch.inf)
        buffer = comparable.to(self._transfer_device)
        self._handshake("all_reduce_min", len(values))
        dist.all_reduce(buffer, op=dist.ReduceOp.MIN, group=self.group)
        return buffer.tolist()

    def broadcast(self, tensor: Tensor) -> Tensor:
        """See `SingleProcess.broadcast`."""
        buffer = tensor.to(self._transfer_device, copy=True).contiguous()
        self._handshake("broadcast", *tensor.shape)
        dist.broadcast(buffer, group=self.group, group_src=0)
        return buffer.to(tensor.device)

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """See `SingleProcess.broadcast_object`."""
        values: list[Any] = [None]
        if self.rank == 0:
            values[0] = make()
        self._handshake("broadcast_object")
        dist.broadcast_object_list(values, group=self.group, device=self._transfer_device, group_src=0)
        return values[0]

    def all_gather_object(self, value: T) -> list[T]:
        """See `SingleProcess.all_gather_object`."""
        content = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        lengths = self._handshake("all_gather_object", own_size=len(content))
        gather = self._uneven_gather(content, lengths)
        return [pickle.loads(part.numpy().tobytes()) for part in gather()]

    def all_gather(self, tensor: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """See `SingleProcess.all_gather`."""
        gather = self._uneven_gather(tensor, lengths)
        self._handshake("all_gather", *lengths)
        return gather()

    def all_to_all(
        self,
        tensors: list[Tensor],
        send_lengths: Sequence[Sequence[int]],
        receive_lengths: Sequence[Sequence[int]],
    ) -> list[Tensor]:
        """See `SingleProcess.all_to_all`."""
        devices = [tensor.device for tensor in tensors]
        buffers = [tensor.to(self._transfer_device).contiguous() for tensor in tensors]
        tensors.clear()
        received = []
        for buffer, lengths in zip(buffers, receive_lengths):
            received.append(buffer.new_empty(sum(lengths)))
        self._handshake("all_to_all", len(buffers))
        for result, receive, send in zip(received, receive_lengths, send_lengths):
            dist.all_to_all_single(result, buffers.pop(0), list(receive), list(send), group=self.group)
        return [result.to(device) for result, device in zip(received, devices)]

    def _uneven_gather(self, tensor: Tensor, lengths: Sequence[int]) -> UnevenGather:
        return UnevenGather(tensor, lengths, self.rank, self._transfer_device, self.group)


def get_process_group(device: torch.device, world_size: int, group: dist.ProcessGroup | None = None) -> SingleProcess:
    """Returns the processes between which the work of an observation is divided.

    Args:
        device: Device of this process's model.
        world_size: Number of processes that hold the same model, or parts of it.
        group: A group of torch.distributed; None for the default one.

    Returns:
        That group if torch.distributed is initialized and it has ``world_size`` > 1 processes, otherwise
        `SingleProcess`.

    Example:
        >>> get_process_group(torch.device("cpu"), world_size=1).rank
        0
    """
    if world_size > 1 and dist.is_available() and dist.is_initialized() and dist.get_world_size(group) == world_size:
        return ProcessGroup(device, group)
    return SingleProcess()
