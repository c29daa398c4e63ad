"""The Hasse diagram for other programs: a graph of networkx, and the language of Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_factorlens.results import HierarchyRecord

if TYPE_CHECKING:
    import networkx


def to_networkx(record: HierarchyRecord) -> networkx.DiGraph:
    """The Hasse diagram as a graph, from general to special.

    Args:
        record: From `hierarchy`.

    Returns:
        One node for each equivalence class, numbered as in ``record.equivalence``, with the attributes ``vectors`` (the
        names of its nodes), ``classes`` (the names of their classes), ``level`` and ``is_decided``.

    Example:
        >>> from lightning_factorlens.hierarchy import hierarchy, significance
        >>> from lightning_factorlens.results import Signals
        >>> import torch
        >>> values = torch.tensor([[3.0], [0.1]])
        >>> signals = Signals("fc", values, s=torch.ones(1), group=torch.zeros(1))
        >>> found = hierarchy(significance(signals, q=0.8), ["cat", "dog"])
        >>> dict(to_networkx(found).nodes(data="classes"))
        {0: ('cat',)}
    """
    import networkx

    graph = networkx.DiGraph()
    for position, found in enumerate(record.equivalence):
        graph.add_node(
            position,
            vectors=tuple(map(record.node_name, found.nodes)),
            classes=tuple(record.class_names[index] for index in found.classes),
            level=found.level,
            is_decided=found.is_decided,
        )
    graph.add_edges_from(record.hasse)
    return graph


def to_dot(record: HierarchyRecord) -> str:
    """The Hasse diagram as text that Graphviz draws; classes of vectors whose membership is undecided are dashed.

    Args:
        record: From `hierarchy`.
    """
    lines = [f"digraph {_quoted(record.layer or 'model')} {{", "  node [shape=box];"]
    for position, found in enumerate(record.equivalence):
        names = ", ".join(record.class_names[index] for index in found.classes)
        label = f"{record.node_name(found.nodes[0])} ({len(found.nodes)})\n{names}"
        style = "solid" if found.is_decided else "dashed"
        lines.append(f"  {position} [label={_quoted(label)}, style={style}];")
    for general, special in record.hasse:
        lines.append(f"  {general} -> {special};")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
