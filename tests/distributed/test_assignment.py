"""Assignment of samples, features and tasks to processes."""

import pytest

from lightning_factorlens.distributed import (
    SingleProcess,
    assign_greedy,
    feature_unit,
    map_distributed,
    split_blocks,
    split_evenly,
)


@pytest.mark.parametrize(("n", "size", "unit"), [(256, 2, 128), (256, 4, 128), (300, 4, 128), (10, 3, 1), (0, 2, 1)])
def test_parts_are_whole_units_in_order(n, size, unit):
    parts = split_evenly(n, size, unit)
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    assert all(part.start % unit == 0 or part.start == n for part in parts)
    widths = [-(-(part.stop - part.start) // unit) for part in parts]
    assert max(widths) - min(widths) <= 1


@pytest.mark.parametrize("totals", [[9408, 1352], [4096] * 17, [5], [100_000, 10], [3, 3, 3]])
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_blocks_are_cut_at_units_and_loads_differ_by_at_most_one_unit(totals, size):
    slices = split_blocks(totals, size, 1024)
    for total, own in zip(totals, slices):
        assert [i for part in own for i in range(total)[part]] == list(range(total))
        assert all(part.start % 1024 == 0 or part.start == total for part in own)
    loads = [sum(part.stop - part.start for part in parts) for parts in zip(*slices)]
    assert max(loads) <= sum(totals) / size + 1024


def test_tasks_are_assigned_to_the_process_with_the_smallest_load():
    costs = [5, 1, 4, 2]
    owners = assign_greedy(costs, [0, 0])
    assert sorted(sum(cost for cost, owner in zip(costs, owners) if owner == rank) for rank in (0, 1)) == [6, 6]
    assert assign_greedy([1, 1], [10, 0, 0]) == [1, 2]


class SecondOfTwo(SingleProcess):
    """Process 1 of 2, with the other's results given."""

    rank, world_size = 1, 2

    def __init__(self, others):
        self.others = others

    def all_gather_object(self, value):
        return [self.others, value]


def test_mapped_results_are_in_the_order_of_the_tasks():
    assert map_distributed(SingleProcess(), lambda own: [t * 10 for t in own], [3, 1, 2], [0, 0, 0]) == [
        30,
        10,
        20,
    ]
    group = SecondOfTwo(others=["by process 0"])
    assert map_distributed(group, lambda own: own, ["a", "b", "c"], [1, 0, 1]) == ["a", "by process 0", "c"]


def test_blocks_are_divided_below_a_chunk_only_for_more_processes_than_chunks():
    assert feature_unit([9408, 1352], 3, 8192) == 8192
    assert feature_unit([9408, 1352], 4, 8192) == 1345
    assert feature_unit([30], 100, 8192) == 16
    assert feature_unit([0], 2, 8192) == 16
