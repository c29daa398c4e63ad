"""Counts the collective operations of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch.distributed as dist
from torch import Tensor

from lightning_factorlens.distributed import ProcessGroup


class CollectiveCounts:
    """Counts the operations of torch.distributed while it is entered.

    Attributes:
        handshakes: All-reduces by which the processes agree on the next operation.
        collectives: All other operations.
        received: Bytes that this process receives by all of them, those of sums as a ring receives them.
    """

    def __init__(self) -> None:
        self.handshakes = 0
        self.collectives = 0
        self.received = 0

    def __enter__(self) -> CollectiveCounts:
        names = ("all_reduce", "all_gather", "all_to_all_single", "broadcast", "broadcast_object_list")
        self._patches = [patch.object(dist, name, self._counted(getattr(dist, name))) for name in names]
        self._patches.append(patch.object(ProcessGroup, "_handshake", self._handshake(ProcessGroup._handshake)))
        for each in self._patches:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()
        self.collectives -= self.handshakes  # a handshake is an all-reduce

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        all_reduce = dist.all_reduce

        def call(*args: Any, **options: Any) -> Any:
            self.collectives += 1
            if operation is all_reduce:
                self.received += 2 * args[0].nbytes * (dist.get_world_size() - 1) // dist.get_world_size()
            elif isinstance(args[0], Tensor):
                self.received += args[0].nbytes
            else:
                self.received += sum(part.nbytes for part in args[0] if isinstance(part, Tensor))
            return operation(*args, **options)

        return call

    def _handshake(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.handshakes += 1
            return operation(*args, **options)

        return call
