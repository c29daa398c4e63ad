"""Nodes with the same set of classes, the order of these sets by inclusion, its Hasse diagram and its depth.

A set of classes is a Python integer, of which bit c stands for class c. Sets and relations are compared as such
integers: with K sets and C classes the order costs at most K · C, and the Hasse diagram as many operations as it has
edges, each on K bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightning_factorlens.results import HierarchySizes


def group_nodes(incidence: np.ndarray) -> tuple[list[int], list[list[int]]]:
    """The equivalence classes of the nodes: nodes that belong to the same classes (Praggastis et al., equation 17).

    Args:
        incidence: Whether each node belongs to each class, bool, shape (classes, nodes).

    Returns:
        The sets of classes that occur, the larger ones first and among equally large ones those of earlier classes,
        and the nodes of each. Nodes that belong to no class are left out.

    Example:
        >>> group_nodes(np.array([[1, 0, 1, 0], [1, 1, 1, 0]], dtype=bool))
        ([3, 2], [[0, 2], [1]])
    """
    packed = np.ascontiguousarray(np.packbits(incidence, axis=0, bitorder="little").T)
    nodes: dict[int, list[int]] = {}
    for node in np.flatnonzero(incidence.any(0)).tolist():
        class_set = int.from_bytes(packed[node].tobytes(), "little")
        nodes.setdefault(class_set, []).append(node)
    class_sets = sorted(nodes, key=lambda class_set: (-class_set.bit_count(), members(class_set)))
    return class_sets, [nodes[class_set] for class_set in class_sets]


def members(class_set: int) -> tuple[int, ...]:
    """The classes of a set, in ascending order.

    Args:
        class_set: An integer with a bit for each class.

    Example:
        >>> members(0b1101)
        (0, 2, 3)
    """
    found = []
    while class_set:
        lowest = class_set & -class_set
        found.append(lowest.bit_length() - 1)
        class_set ^= lowest
    return tuple(found)


def larger_sets(class_sets: Sequence[int]) -> list[int]:
    """The sets that include each set, the set itself not among them (Praggastis et al., equation 18).

    Args:
        class_sets: Different sets that are not empty, in the order of `group_nodes`.

    Returns:
        For each set an integer of which bit j stands for set j.

    Example:
        >>> larger_sets([0b11, 0b10])
        [0, 1]
    """
    having: dict[int, int] = {}
    for position, class_set in enumerate(class_sets):
        for member in members(class_set):
            having[member] = having.get(member, 0) | 1 << position
    above = []
    for position, class_set in enumerate(class_sets):
        including = -1
        for member in members(class_set):
            including &= having[member]
        above.append(including & ~(1 << position))
    return above


def hasse_edges(above: Sequence[int]) -> list[tuple[int, int]]:
    """The Hasse diagram: the pairs between which no third set lies, which is the transitive reduction of the order.

    Args:
        above: From `larger_sets`, for sets in the order of `group_nodes`.

    Returns:
        Pairs (general, special) of positions, sorted: the classes of the second are a part of those of the first.

    Example:
        >>> hasse_edges(larger_sets([0b111, 0b011, 0b001]))
        [(0, 1), (1, 2)]
    """
    edges = []
    for special, remaining in enumerate(above):
        while remaining:
            # Larger sets come first, so that the last one that remains is smallest, and includes none of the others.
            general = remaining.bit_length() - 1
            edges.append((general, special))
            remaining &= ~(above[general] | 1 << general)
    return sorted(edges)


def chain_levels(n_sets: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The length of the longest chain that ends at each set from above, in sets; the depth is the largest of them.

    Args:
        n_sets: Number of sets.
        edges: From `hasse_edges`.

    Example:
        >>> chain_levels(4, [(0, 1), (0, 3), (1, 2)])
        [1, 2, 3, 2]
    """
    levels = [1] * n_sets
    for general, special in sorted(edges, key=lambda edge: edge[1]):
        levels[special] = max(levels[special], levels[general] + 1)
    return levels


def hierarchy_sizes(incidence: np.ndarray) -> tuple[HierarchySizes, frozenset[int]]:
    """The sizes of the hierarchy of an incidence matrix, and its sets of classes.

    Args:
        incidence: As for `group_nodes`.

    Example:
        >>> hierarchy_sizes(np.array([[1, 0, 1, 0], [1, 1, 1, 0]], dtype=bool))
        (HierarchySizes(nodes=3, vector_classes=2, depth=2), frozenset({2, 3}))
    """
    class_sets, nodes = group_nodes(incidence)
    levels = chain_levels(len(class_sets), hasse_edges(larger_sets(class_sets)))
    sizes = HierarchySizes(sum(map(len, nodes)), len(class_sets), max(levels, default=0))
    return sizes, frozenset(class_sets)
