"""A run of one process, with the operations of a process group: each is the identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


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
