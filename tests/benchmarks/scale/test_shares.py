"""What one of very many processes holds and would receive."""

import pytest

from benchmarks.scale.shares import MANY, feature_loads, received_per_byte


@pytest.mark.parametrize("world_size", [8, MANY])
def test_a_process_receives_at_most_twice_what_it_asks_for(world_size):
    for rank in (0, world_size - 1):
        assert max(received_per_byte(world_size, rank).values()) <= 2


def test_all_of_many_processes_hold_features():
    loads = feature_loads()
    assert min(loads) > 0
    assert max(loads) <= 2 * sum(loads) / len(loads)
