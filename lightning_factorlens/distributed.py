"""Several processes as one: they share the work of a look, and what fails in one fails in all, so that none waits.

`Team` is one process alone, and every operation the identity. `Processes` are those of torch.distributed. Each of its
operations is a collective: all take part, in the same order. So each begins with a meeting, where everyone says that
all is well and what comes next. Who fails says so in the place of the next meeting (`together`), wherever the others
may have got to, and everyone gives up at once. Operations that do not match end the look in the same way.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")
#: Backends that carry tensors in main memory alone.
CPU_BACKENDS = ("gloo", "mpi")


class PeerError(Exception):
    """Raised in all processes together: in one of them, named in the message, something went wrong."""


class SingleProcess:
    """One process alone.

    Attributes:
        place: Which of the processes this is, from 0.
        size: How many there are.
    """

    rank = 0
    world_size = 1

    @contextmanager
    def synchronized_errors(self) -> Iterator[None]:
        """Inside, an exception in one process is one in all; the others raise `PeerFailed`."""
        yield

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """The sum of everyone's tensor of one shape, which may be overwritten."""
        return tensor

    def all_reduce_min(self, values: Sequence[float]) -> list[float]:
        """The smallest of everyone's values, entry by entry; NaN counts as −∞."""
        return list(values)

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The first process's tensor; the others' have its shape and dtype."""
        return tensor

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """What ``make`` gives in the first process, which alone calls it; it can be pickled."""
        return make()

    def all_gather_object(self, thing: T) -> list[T]:
        """What each process has, in their order; it can be pickled."""
        return [thing]

    def all_gather(self, tensor: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """Everyone's flat tensor.

        Args:
            tensor: Shape (lengths[place],).
            lengths: Of every process's, known to all.
        """
        return [tensor]

    def all_to_all(self, tensor: Tensor, give: Sequence[int], take: Sequence[int]) -> Tensor:
        """Everyone gives each process a part of its flat tensor.

        Args:
            tensor: Shape (Σ give,), the first process's part first.
            give: Lengths of the parts given.
            take: Lengths of the parts received.

        Returns:
            Shape (Σ take,), what the first process gave first.
        """
        return tensor


class ProcessGroup(SingleProcess):
    """Those of torch.distributed's default group.

    Args:
        device: Of this process's model.
    """

    def __init__(self, device: torch.device) -> None:
        self.place, self.size = dist.get_rank(), dist.get_world_size()
        self.wire = torch.device("cpu") if dist.get_backend() in CPU_BACKENDS else device
        self._apart: PeerError | None = None

    @contextmanager
    def synchronized_errors(self) -> Iterator[None]:
        """See `Team`; must not be nested."""
        try:
            yield
            self._meet("done")
        except Exception as error:
            if self._apart is None:  # else everyone knows
                with suppress(PeerError):
                    self._meet("failed", failure=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._apart = None

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """See `Team`."""
        wired = tensor.to(self.wire).contiguous()
        self._meet("sum", *tensor.shape)
        dist.all_reduce(wired)
        return wired.to(tensor.device)

    def all_reduce_min(self, values: Sequence[float]) -> list[float]:
        """See `Team`."""
        wired = torch.tensor(values, dtype=torch.float64).nan_to_num(nan=-torch.inf).to(self.wire)
        self._meet("smallest", len(values))
        dist.all_reduce(wired, op=dist.ReduceOp.MIN)
        return wired.tolist()

    def broadcast(self, tensor: Tensor) -> Tensor:
        """See `Team`."""
        wired = tensor.to(self.wire, copy=True).contiguous()
        self._meet("agree", *tensor.shape)
        dist.broadcast(wired, src=0)
        return wired.to(tensor.device)

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """See `Team`."""
        made: list[Any] = [make() if self.place == 0 else None]
        self._meet("first")
        dist.broadcast_object_list(made, src=0, device=self.wire)
        return made[0]

    def all_gather_object(self, thing: T) -> list[T]:
        """See `Team`."""
        self._meet("everyone")
        return self._objects(thing)

    def all_gather(self, tensor: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """See `Team`."""
        longest = max(lengths)
        mine = tensor.new_zeros(longest, device=self.wire)  # not every backend takes different lengths
        mine[: len(tensor)] = tensor
        found = [torch.empty_like(mine) for _ in lengths]
        self._meet("gather", *lengths)
        dist.all_gather(found, mine)
        return [t[:n].to(tensor.device) for t, n in zip(found, lengths)]

    def all_to_all(self, tensor: Tensor, give: Sequence[int], take: Sequence[int]) -> Tensor:
        """See `Team`."""
        wired = tensor.to(self.wire).contiguous()
        taken = wired.new_empty(sum(take))
        self._meet("swap")
        dist.all_to_all_single(taken, wired, list(take), list(give))
        return taken.to(tensor.device)

    def _meet(self, what: str, *about: int, failure: str | None = None) -> None:
        """Before every collective, once allocations are done: is everyone well, and about to do the same?

        Raises:
            PeerFailed: In all processes; in the failed ones too. From then on, whoever has caught it is on his own.
        """
        if self._apart is not None:
            raise self._apart
        mark = zlib.crc32(repr((what, about)).encode())
        state = torch.tensor([failure is not None, mark, -mark], dtype=torch.int64, device=self.wire)
        dist.all_reduce(state, op=dist.ReduceOp.MAX)
        failed, high, low = state.tolist()
        if failed or high != -low:
            words = failure or (None if failed else f"out of step at {what!r} {about}")
            told = enumerate(self._objects(words))
            self._apart = PeerError("; ".join(f"process {p}: {words}" for p, words in told if words))
            raise self._apart

    def _objects(self, thing: Any) -> list[Any]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, thing)
        return found


def get_process_group(device: torch.device, size: int) -> SingleProcess:
    """The processes of torch.distributed, if they are the ``size`` that are to share the work; else this one alone.

    Args:
        device: Of this process's model.
        size: Processes that hold the same model.
    """
    ready = size > 1 and dist.is_available() and dist.is_initialized()
    return ProcessGroup(device) if ready and dist.get_world_size() == size else SingleProcess()


def split_evenly(n: int, size: int, unit: int = 1) -> list[slice]:
    """N things in their order, dealt to ``size`` processes as evenly as whole units allow."""
    units = -(-n // unit)
    return ends_to_slices([min(n, unit * (units * (p + 1) // size)) for p in range(size)])


def split_blocks(totals: Sequence[int], size: int, unit: int) -> list[tuple[int, ...]]:
    """Things in lines, one behind the other, dealt to ``size`` processes as evenly as whole units of each line allow.

    Args:
        totals: Length of each line.
        size: Processes.
        unit: Never cut, counted from the beginning of each line.

    Returns:
        For each line where each process's part of it ends; where the last one's ended before, it has none.
    """
    ends, before = [], 0
    for total in totals:
        own = [0] * size
        for a in range(0, total, unit):
            b = min(total, a + unit)
            own[min(size - 1, int(size * (before + (a + b) / 2) / sum(totals)))] = b
        ends.append(tuple(accumulate(own, max)))
        before += total
    return ends


def ends_to_slices(ends: Sequence[int]) -> list[slice]:
    """From one end to the next."""
    return [slice(a, b) for a, b in pairwise((0, *ends))]


def assign_greedy(costs: Sequence[float], loads: Sequence[float]) -> list[int]:
    """Who does what: the costliest first, each to whom is the least busy.

    Args:
        costs: Of every task.
        loads: What each process has to do already.

    Returns:
        For every task a process; the same in all processes.
    """
    busy, who = list(loads), [0] * len(costs)
    for task in sorted(range(len(costs)), key=lambda t: -costs[t]):
        who[task] = busy.index(min(busy))
        busy[who[task]] += costs[task]
    return who
