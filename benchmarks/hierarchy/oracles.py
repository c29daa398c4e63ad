"""The order of random hypergraphs against brute force, networkx and XGI, and what signs and parameters may change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import torch

from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.hierarchy import Hierarchy, hierarchy, significance
from lightning_factorlens.hierarchy.order import group_nodes, hasse_edges, hierarchy_sizes, larger_sets, members
from lightning_factorlens.results import Signals

#: Random signals whose vectors change their signs, and sign choices of each.
N_SIGNALS = 25
N_SIGNS = 20
QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
SHARES = (0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 1.0)


@dataclass
class Differences:
    """Number of incidences in which something differs from an oracle; None where the oracle is not installed."""

    partition: int = 0
    order: int = 0
    hasse: int = 0
    depth: int = 0
    xgi: int | None = 0


def measure(data_dir: Path, quick: bool) -> Measured:
    """Compares random incidences with the oracles, and random signals with themselves under changes of sign."""
    n_incidences = 200 if quick else 3000
    differences = compare_incidences(n_incidences)
    flips = changed_by_signs(quick)
    violations = monotonicity_violations(quick)
    rng = np.random.default_rng(0)
    incidence = rng.random((1000, 8192)) < rng.random(8192) ** 3
    seconds, (sizes, _) = timed(lambda: hierarchy_sizes(incidence))
    numbers: dict[str, Any] = {
        "equivalence classes: brute force": differences.partition,
        "order: brute force": differences.order,
        "Hasse diagram: networkx, transitive_reduction": differences.hasse,
        "depth: networkx, longest path": differences.depth,
        "order: XGI, to_encapsulation_dag": "not installed" if differences.xgi is None else differences.xgi,
    }
    rows = [(name, str(found)) for name, found in numbers.items()]
    text = (
        f"## Oracles\n\n`python -m benchmarks.hierarchy --parts oracles`. {n_incidences} random incidences of up to 12 "
        "classes and 40 nodes.\n\n" + markdown_table(("oracle", "incidences that differ"), rows) + "\n\n"
        f"Under {N_SIGNS} random choices of the vectors' signs, {flips['both']} of {flips['pairs']} two-sided results "
        f"differ in a bit, and {flips['one']} one-sided ones. Over {len(QUANTILES)} quantiles and {len(SHARES)} "
        f"shares, {violations} memberships are there with a larger quantile or share and not with a smaller one. A "
        f"hierarchy of 8,192 nodes in 1,000 classes ({sizes.vector_classes} classes of vectors, depth {sizes.depth}) "
        f"takes {seconds:.2f} s."
    )
    figures = [
        Figure("hierarchy_partition_differences", differences.partition, 0, at_most=True),
        Figure("hierarchy_order_differences", differences.order, 0, at_most=True),
        Figure("hierarchy_hasse_differences_networkx", differences.hasse, 0, at_most=True),
        Figure("hierarchy_depth_differences_networkx", differences.depth, 0, at_most=True),
        Figure("hierarchy_order_differences_xgi", _number(differences.xgi), 0, at_most=True),
        Figure("hierarchy_bits_changed_by_signs", flips["both"], 0, at_most=True),
        Figure("hierarchy_monotonicity_violations", violations, 0, at_most=True),
    ]
    return Measured(
        text, {"incidences": n_incidences, **vars(differences), "signs": flips, "seconds": seconds}, figures
    )


def compare_incidences(count: int) -> Differences:
    """Compares random incidences of all densities with brute force, networkx and, where it is installed, XGI."""
    rng = np.random.default_rng(0)
    found = Differences()
    try:
        from xgi import Hypergraph, to_encapsulation_dag
    except ImportError:
        found.xgi = None
    for _ in range(count):
        incidence = rng.random((rng.integers(1, 13), rng.integers(0, 41))) < rng.random()
        class_sets, nodes = group_nodes(incidence)
        sets = [frozenset(members(class_set)) for class_set in class_sets]
        above = larger_sets(class_sets)
        pairs = {(sets[j], sets[i]) for i, bits in enumerate(above) for j in members(bits)}
        partition = _partition(incidence)
        expected = {(a, b) for a in partition for b in partition if a > b}
        graph = networkx.DiGraph(expected)
        graph.add_nodes_from(partition)
        edges = {(sets[a], sets[b]) for a, b in hasse_edges(above)}
        depth = networkx.dag_longest_path_length(graph) + 1 if partition else 0
        found.partition += {a: set(b) for a, b in zip(sets, nodes)} != partition
        found.order += pairs != expected
        found.hasse += edges != set(networkx.transitive_reduction(graph).edges)
        found.depth += hierarchy_sizes(incidence)[0].depth != depth
        if found.xgi is not None and sets:
            encapsulation = to_encapsulation_dag(Hypergraph([sorted(each) for each in sets]))
            found.xgi += {(sets[a], sets[b]) for a, b in encapsulation.edges} != pairs
    return found


def _partition(incidence: np.ndarray) -> dict[frozenset[int], set[int]]:
    """The nodes of each set of classes, column by column."""
    partition: dict[frozenset[int], set[int]] = {}
    for node, column in enumerate(incidence.T):
        classes = frozenset(np.flatnonzero(column).tolist())
        if classes:
            partition.setdefault(classes, set()).add(node)
    return partition


def random_signals(seed: int) -> tuple[Signals, torch.Tensor]:
    """Signals of images around random means of their classes, and the classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(300) % 10
    values = 2 * torch.randn(10, 32, generator=generator)[labels] + torch.randn(300, 32, generator=generator)
    return Signals("layer", values, torch.linspace(3, 1, 32), torch.zeros(32, dtype=torch.int64)), labels


def changed_by_signs(quick: bool) -> dict[str, int]:
    """Number of sign choices that change a two-sided and a one-sided hierarchy."""
    changed = {"pairs": 0, "both": 0, "one": 0}
    for seed in range(5 if quick else N_SIGNALS):
        signals, labels = random_signals(seed)
        generator = torch.Generator().manual_seed(seed)
        found = {sides: hierarchy(significance(signals, 0.85, sides=sides), labels) for sides in ("both", "one")}
        for _ in range(N_SIGNS):
            signs = torch.randint(2, (32,), generator=generator) * 2 - 1
            other_signals = Signals("layer", signals.values * signs, signals.s, signals.group)
            changed["pairs"] += 1
            for sides, first in found.items():
                other = hierarchy(significance(other_signals, 0.85, sides=sides), labels)
                changed[sides] += not _same_bits(first, other)
    return changed


def _same_bits(first: Hierarchy, other: Hierarchy) -> bool:
    """Whether nothing differs but the names of the nodes."""
    tensors = [(getattr(first, name), getattr(other, name)) for name in ("incidence", "shares", "lower", "upper")]
    is_same = all(a.shape == b.shape and torch.equal(a, b) for a, b in tensors)
    return is_same and first.equivalence == other.equivalence and first.hasse == other.hasse


def monotonicity_violations(quick: bool) -> int:
    """Number of memberships that are there with a larger quantile or share and not with a smaller one."""
    violations = 0
    for seed in range(2 if quick else 10):
        signals, labels = random_signals(seed)
        found: dict[tuple[float, float], set[tuple[int, tuple[int, int]]]] = {}
        for q in QUANTILES:
            made = significance(signals, q)
            for p in SHARES:
                each = hierarchy(made, labels, p)
                found[q, p] = {(c, each.nodes[node]) for c, node in each.incidence.nonzero().tolist()}
        for q, p in found:
            smaller = [
                found[other] for other in ((_below(QUANTILES, q), p), (q, _below(SHARES, p))) if None not in other
            ]
            violations += sum(len(found[q, p] - more) for more in smaller)
    return violations


def _below(values: tuple[float, ...], value: float) -> float | None:
    index = values.index(value)
    return values[index - 1] if index else None


def _number(value: int | None) -> float:
    return float("nan") if value is None else value
