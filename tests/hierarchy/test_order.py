import time

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_factorlens.hierarchy.order import chain_levels, group_nodes, hasse_edges, hierarchy_sizes, larger_sets

N_CLASSES = 7


@st.composite
def incidences(draw):
    """A column for each node, drawn as the set of its classes."""
    columns = draw(st.lists(st.integers(0, 2**N_CLASSES - 1), max_size=14))
    return np.array([[found >> c & 1 for found in columns] for c in range(N_CLASSES)], dtype=bool)


def by_brute_force(incidence):
    """The partition of the nodes by their sets of classes, and all pairs of sets of which the first includes the second."""
    columns = [frozenset(np.flatnonzero(column).tolist()) for column in incidence.T]
    partition = {}
    for node, found in enumerate(columns):
        if found:
            partition.setdefault(found, set()).add(node)
    pairs = {(a, b) for a in partition for b in partition if a > b}
    return partition, pairs


def as_set(class_set):
    return frozenset(index for index in range(class_set.bit_length()) if class_set >> index & 1)


def check_order(incidence):
    class_sets, nodes = group_nodes(incidence)
    above = larger_sets(class_sets)
    edges = hasse_edges(above)
    partition, pairs = by_brute_force(incidence)
    sets = [as_set(class_set) for class_set in class_sets]
    assert {found: set(group) for found, group in zip(sets, nodes)} == partition
    assert {(sets[j], sets[i]) for i, bits in enumerate(above) for j in as_set(bits)} == pairs
    graph = networkx.DiGraph(pairs)
    graph.add_nodes_from(partition)
    assert {(sets[i], sets[j]) for i, j in edges} == set(networkx.transitive_reduction(graph).edges)
    depth = networkx.dag_longest_path_length(graph) + 1 if partition else 0
    sizes, family = hierarchy_sizes(incidence)
    assert (sizes.nodes, sizes.vector_classes, sizes.depth) == (sum(map(len, nodes)), len(sets), depth)
    assert family == set(class_sets)
    assert max(chain_levels(len(sets), edges), default=0) == depth


@settings(max_examples=150, deadline=None)
@given(incidences())
def test_partition_order_and_diagram_are_those_of_brute_force_and_networkx(incidence):
    check_order(incidence)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(incidences())
def test_they_are_so_for_two_thousand_incidences(incidence):
    check_order(incidence)


def test_thousands_of_different_nodes_take_seconds():
    rng = np.random.default_rng(0)
    kinds = rng.random((200, 3000)) < rng.random(3000) ** 2
    start = time.process_time()
    sizes, _ = hierarchy_sizes(np.repeat(kinds, 3, axis=1))
    assert sizes.vector_classes > 2400
    assert time.process_time() - start < 20  # a comparison of all pairs of nodes takes minutes


@pytest.mark.slow
def test_the_order_is_that_of_xgi():
    xgi = pytest.importorskip("xgi")
    rng = np.random.default_rng(0)
    for _ in range(200):
        incidence = rng.random((rng.integers(1, 9), rng.integers(1, 24))) < rng.random()
        class_sets, _ = group_nodes(incidence)
        if not class_sets:
            continue
        graph = xgi.to_encapsulation_dag(xgi.Hypergraph([sorted(as_set(found)) for found in class_sets]))
        pairs = {(j, i) for i, bits in enumerate(larger_sets(class_sets)) for j in as_set(bits)}
        assert set(graph.edges) == pairs
