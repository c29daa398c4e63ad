import pytest

from benchmarks.hierarchy.planted import found_hierarchy, is_exact, planted_network


@pytest.mark.parametrize("kind", ["convolution", "linear"])
def test_a_planted_network_gives_exactly_the_planted_hierarchy(kind):
    for seed in range(5):
        planted = planted_network(kind, seed)
        found = found_hierarchy(planted)
        assert is_exact(planted, found)
        assert found.depth >= 2
        planted.sides[0, 2] = {0: 1, 1: 0, -1: 1}[int(planted.sides[0, 2])]
        assert not is_exact(planted, found)
