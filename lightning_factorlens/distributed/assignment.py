"""Assignment of samples, features and tasks to processes; every process computes the same assignment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from lightning_factorlens.distributed.single_process import SingleProcess

#: Fewer items than these in one unit save no time.
SMALLEST_UNIT = 16

Task = TypeVar("Task")
Result = TypeVar("Result")


def ends_to_slices(ends: Sequence[int]) -> list[slice]:
    """Converts the ends of consecutive intervals, the first of which starts at 0, to slices.

    Args:
        ends: Ends, ascending.

    Returns:
        One slice for each end.

    Example:
        >>> ends_to_slices([2, 5])
        [slice(0, 2, None), slice(2, 5, None)]
    """
    return list(map(slice, (0, *ends), ends))


def split_evenly(length: int, world_size: int, unit: int = 1) -> list[slice]:
    """Splits ``length`` items into one consecutive part per process; only the last unit may be incomplete.

    Args:
        length: Number of items.
        world_size: Number of processes.
        unit: Number of items that stay in one process.

    Returns:
        The items of each process. Their numbers of units differ by at most one.

    Example:
        >>> split_evenly(300, world_size=2, unit=128)
        [slice(0, 128, None), slice(128, 300, None)]
    """
    return split_units([*range(unit, length, unit), length] if length else [], world_size)


def split_units(unit_ends: Sequence[int], world_size: int) -> list[slice]:
    """Splits consecutive units of any sizes into one consecutive part per process.

    Args:
        unit_ends: The end of each unit, ascending; the first unit starts at 0.
        world_size: Number of processes.

    Returns:
        The items of each process. Their numbers of units differ by at most one.

    Example:
        >>> split_units([4, 5, 9], world_size=2)
        [slice(0, 4, None), slice(4, 9, None)]
    """
    n_units = len(unit_ends)
    ends = []
    for rank in range(world_size):
        end_unit = n_units * (rank + 1) // world_size
        ends.append(unit_ends[end_unit - 1] if end_unit else 0)
    return ends_to_slices(ends)


def split_blocks(lengths: Sequence[int], world_size: int, unit: int) -> list[list[slice]]:
    """Splits several blocks such that each process gets about the same total number of items.

    The blocks are laid one after the other and cut at ``world_size`` − 1 places; a cut falls between two units of a
    block, counted from the beginning of that block.

    Args:
        lengths: Number of items of each block.
        world_size: Number of processes.
        unit: Number of consecutive items that stay in one process.

    Returns:
        For each block the items of each process, which may be none.

    Example:
        >>> split_blocks([4, 2], world_size=2, unit=2)
        [[slice(0, 2, None), slice(2, 4, None)], [slice(0, 0, None), slice(0, 2, None)]]
    """
    slices = []
    offset = 0
    total = sum(lengths)
    for length in lengths:
        ends = [0] * world_size
        for start in range(0, length, unit):
            stop = min(length, start + unit)
            center = offset + (start + stop) / 2
            rank = min(world_size - 1, int(world_size * center / total))
            ends[rank] = stop
        slices.append(ends_to_slices(list(accumulate(ends, max))))
        offset += length
    return slices


def feature_unit(lengths: Sequence[int], world_size: int, largest: int) -> int:
    """Returns the number of consecutive items of a block that stay in one process.

    Args:
        lengths: Number of items of each block.
        world_size: Number of processes.
        largest: The unit where there are at least as many of that size as processes.

    Returns:
        ``largest``, or so few that every process gets some and none more than about 1.5 times its share, but at least
        `SMALLEST_UNIT`.

    Example:
        >>> feature_unit([4096] * 12, world_size=8, largest=8192)
        8192
        >>> feature_unit([4096] * 12, world_size=1000, largest=8192)
        25
    """
    n_units = sum(math.ceil(length / largest) for length in lengths)
    if n_units >= world_size:
        return largest
    return min(largest, max(SMALLEST_UNIT, math.ceil(sum(lengths) / (2 * world_size))))


def assign_greedy(costs: Sequence[float], loads: Sequence[float]) -> list[int]:
    """Assigns tasks to processes: in order of descending cost, each to the process with the smallest load so far.

    Args:
        costs: Cost of each task.
        loads: Load of each process before the assignment, in the same unit.

    Returns:
        The rank of a process for each task, the same in all processes.

    Example:
        >>> assign_greedy([5, 1, 4, 2], [0, 0])
        [0, 0, 1, 1]
    """
    total_loads = list(loads)
    owners = [0] * len(costs)
    for task in sorted(range(len(costs)), key=lambda task: -costs[task]):
        owner = total_loads.index(min(total_loads))
        owners[task] = owner
        total_loads[owner] += costs[task]
    return owners


def map_distributed(
    process_group: SingleProcess,
    run: Callable[[list[Task]], Sequence[Result]],
    tasks: Sequence[Task],
    owners: Sequence[int],
) -> list[Result]:
    """Runs every task in the process that owns it and returns all results in every process.

    Args:
        process_group: The processes; all must call this function.
        run: Maps the tasks of this process to one picklable result each.
        tasks: All tasks; each process needs only its own.
        owners: The rank of the process that runs each task, the same in all processes.

    Returns:
        One result per task, in the order of ``tasks``.

    Example:
        >>> map_distributed(SingleProcess(), lambda own: [task**2 for task in own], [1, 2, 3], [0, 0, 0])
        [1, 4, 9]
    """
    own_tasks = []
    for task, owner in zip(tasks, owners):
        if owner == process_group.rank:
            own_tasks.append(task)
    results_by_rank = process_group.all_gather_object(run(own_tasks))
    remaining = list(map(iter, results_by_rank))
    return [next(remaining[owner]) for owner in owners]
