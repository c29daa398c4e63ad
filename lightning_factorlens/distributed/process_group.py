"""Collective operations over the processes of a run, with errors that all processes raise together.

`SingleProcess` is a run of one process, in which every operation is the identity. `ProcessGroup` wraps the default
group of torch.distributed. Every operation of it is a collective: all processes must call it, in the same order. A
process that raised an exception would leave the others waiting in the next collective, so each collective begins with
a small all-reduce in which every process reports whether it failed and which operation it is about to call. If one
failed, or if the operations differ, all processes raise `PeerError` at that point (`synchronized_errors`).

Where the model is sharded, a forward pass is a collective operation of its own. A process that is about to make one
announces it (`announce_pass`), and every process that waits at another operation joins with a pass whose results it
drops (`join_pass`). The processes may therefore have different numbers of passes to make, and a failure of one is known
to the others before their next pass.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lightning_factorlens.distributed.uneven_gather import UnevenGather

T = TypeVar("T")
#: The operation by which a forward pass of a sharded model is announced.
FORWARD_PASS = "forward pass"
#: Backends that transfer only tensors in main memory.
CPU_BACKENDS = ("gloo", "mpi")


class PeerError(Exception):
    """Raised in all processes when at least one of them failed; the message names the process and its error."""


class SingleProcess:
    """A run of one process: every collective operation is the identity.

    Attributes:
        rank: Index of this process, from 0.
        world_size: Number of processes.
        join_pass: Makes a forward pass whose results are dropped, see `announce_pass`; None where the model is not
            sharded, and after `synchronized_errors`.
        global_ranks: The ranks of the processes in the default group of torch.distributed; that of this process where
            there is one process.
    """

    rank: int = 0
    world_size: int = 1
    join_pass: Callable[[], object] | None = None

    @property
    def global_ranks(self) -> set[int]:
        """See `SingleProcess`."""
        return {dist.get_rank() if dist.is_available() and dist.is_initialized() else 0}

    @contextmanager
    def synchronized_errors(self) -> Iterator[None]:
        """Returns a context in which an error in one process is raised in all, in the others as `PeerError`."""
        yield

    def announce_pass(self) -> None:
        """Must be called before every forward pass of a sharded model, in which all processes take part.

        Processes that wait at another operation of this object call their ``join_pass``.
        """

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Returns the sum over the processes of tensors of one shape; ``tensor`` may be overwritten."""
        return tensor

    def all_reduce_min(self, values: Sequence[float]) -> list[float]:
        """Returns the minimum over the processes of each value; in a `ProcessGroup`, NaN counts as −∞."""
        return list(values)

    def broadcast(self, tensor: Tensor) -> Tensor:
        """Returns the tensor of process 0; the tensors of all processes must have one shape and dtype."""
        return tensor

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """Returns the result of ``make``, which only process 0 calls; the result must be picklable."""
        return make()

    def all_gather_object(self, value: T) -> list[T]:
        """Returns the values of all processes, ordered by rank; they must be picklable."""
        return [value]

    def all_gather(self, tensor: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """Returns the flat tensors of all processes, ordered by rank.

        Args:
            tensor: Shape (lengths[rank],).
            lengths: Length of each process's tensor, equal in all processes.
        """
        return [tensor]

    def all_to_all(
        self,
        tensors: list[Tensor],
        send_lengths: Sequence[Sequence[int]],
        receive_lengths: Sequence[Sequence[int]],
    ) -> list[Tensor]:
        """Sends one part of each flat tensor to each process and receives one part of each from each process.

        Args:
            tensors: Each of shape (Σ send lengths,), the parts for the processes ordered by rank. The list may be
                emptied, so that memory can be released.
            send_lengths: For each tensor the length of the part sent to each process.
            receive_lengths: For each tensor the length of the part received from each process.

        Returns:
            Each of shape (Σ receive lengths,), the parts ordered by the rank of their sender.
        """
        return tensors


class ProcessGroup(SingleProcess):
    """A group of torch.distributed.

    Args:
        device: Device of this process's model.
        group: The group, of which this process is a member; None for the default one. Of a sharded model it must hold
            all processes between which the parameters are divided.
    """

    def __init__(self, device: torch.device, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank = dist.get_rank(group)
        self.world_size = dist.get_world_size(group)
        self._transfer_device = device
        if dist.get_backend(group) in CPU_BACKENDS:
            self._transfer_device = torch.device("cpu")
        self._peer_error: PeerError | None = None

    @property
    def global_ranks(self) -> set[int]:
        """See `SingleProcess`."""
        return set(range(self.world_size) if self.group is None else dist.get_process_group_ranks(self.group))

    @contextmanager
    def synchronized_errors(self) -> Iterator[None]:
        """See `SingleProcess.synchronized_errors`; contexts must not be nested."""
        try:
            yield
            self._handshake("end of the block")
        except Exception as error:
            if self._peer_error is None:  # otherwise the other processes have already been informed
                with suppress(PeerError):
                    self._handshake("failure", failure=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._peer_error = None
            self.join_pass = None

    def announce_pass(self) -> None:
        """See `SingleProcess.announce_pass`."""
        self._handshake(FORWARD_PASS)

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

    def _handshake(self, operation: str, *sizes: int, own_size: int = 0, failure: str | None = None) -> list[int]:
        """Checks that no process failed and that all are about to call the same operation.

        It is called after the operation's buffers were allocated, so that a failed allocation is reported, too. As long
        as other processes make forward passes of a sharded model, this one joins them.

        Args:
            operation: Name of the operation.
            sizes: Its sizes, which must be the same in all processes.
            own_size: A size of this process alone.
            failure: This process's error, if it has failed.

        Returns:
            The ``own_size`` of every process.

        Raises:
            PeerError: In all processes, including the one that failed. Until the end of `synchronized_errors` every
                further operation of this process raises it again.
        """
        if self._peer_error is not None:
            raise self._peer_error
        checksum = zlib.crc32(repr((operation, sizes)).encode())
        while True:
            own_sizes = [0] * self.world_size
            own_sizes[self.rank] = own_size
            status = [failure is not None, operation == FORWARD_PASS, checksum, -checksum, *own_sizes]
            buffer = torch.tensor(status, dtype=torch.int64, device=self._transfer_device)
            dist.all_reduce(buffer, op=dist.ReduceOp.MAX, group=self.group)
            any_failed, any_pass, highest, negated_lowest, *own_sizes = buffer.tolist()
            if any_failed or not any_pass:
                break
            if operation == FORWARD_PASS:
                return own_sizes
            if self.join_pass is None:
                raise RuntimeError(
                    "another process makes a forward pass of a sharded model that this one does not know"
                )
            self.join_pass()
        if any_failed or highest != -negated_lowest:
            report = failure
            if not any_failed:
                report = f"called {operation}{sizes} while another process called a different operation"
            reports = []
            for rank, peer_report in enumerate(self._gather_reports(report)):
                if peer_report:
                    reports.append(f"process {rank}: {peer_report}")
            self._peer_error = PeerError("; ".join(reports))
            raise self._peer_error
        return own_sizes

    def _gather_reports(self, report: str | None) -> list[str | None]:
        reports: list[str | None] = [None] * self.world_size
        dist.all_gather_object(reports, report, group=self.group)
        return reports


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
