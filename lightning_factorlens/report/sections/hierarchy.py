"""Section: which classes the directions of the weights tell apart, and their order by inclusion."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.measurements import SemanticHierarchy
from lightning_factorlens.plots import hasse_figure
from lightning_factorlens.report.figures_of import figure_of_measurement
from lightning_factorlens.report.parts import Group, Part, Table, Text
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import (
    HierarchyRecord,
    HierarchyReport,
    LayerHierarchies,
    LayerHierarchy,
    Observation,
)
from lightning_factorlens.results._text import format_number

RECORD = "semantic_hierarchy"
#: Name under which an observation keeps a hierarchy beside untrained networks.
REPORT = "hierarchy_report"
#: Names of classes in a row of a table.
MAX_NAMED = 8


def _build(subjects: Sequence[Subject]) -> list[Part]:
    return for_each(subjects, _parts)


def _parts(subject: Subject) -> list[Part]:
    history = subject.until(RECORD)
    report = subject.latest_record(REPORT)
    parts: list[Part] = []
    diagram: HierarchyRecord | HierarchyReport | None = report if isinstance(report, HierarchyReport) else None
    if history:
        record: LayerHierarchies = history[-1][RECORD]
        before = _untrained(history)
        parts += [Text(sentence) for sentence in _sentences(history[-1], record, before)]
        diagram = diagram or record.diagram
    if diagram is not None:
        parts.append(_diagram(diagram))
    if history:
        parts.append(Group("All layers in numbers", [_numbers(record, before)], is_folded=True))
    figure = figure_of_measurement(SemanticHierarchy(), "signals_of_singular_vectors", history) if history[1:] else None
    if figure is not None:
        parts.append(Group("The course", [figure]))
    return parts


def _untrained(history: Sequence[Observation]) -> LayerHierarchies | None:
    """The record of the untrained network; None where the run has none."""
    first = history[0]
    return first.get(RECORD) if first.epoch == 0 and len(history) > 1 else None


def _sentences(observation: Observation, record: LayerHierarchies, before: LayerHierarchies | None) -> list[str]:
    """What the numbers say, each beside chance, and beside the untrained network where that was measured."""
    layers = [found for found in record.layers if math.isfinite(found.class_share)]
    if not layers:
        return [f"At epoch {observation.epoch} no layer had signals that vary."]
    above = [found for found in layers if found.class_share > found.null_class_share]
    strongest = max(layers, key=lambda found: found.class_share)
    text = (
        f"At epoch {observation.epoch} the network predicts {record.predicted_classes} classes. In {len(above)} of "
        f"{len(layers)} layers its directions tell these classes apart better than chance does, best in layer "
        f"{strongest.layer}: {strongest.class_share:.0%} of the variance lies between the classes, by chance at most "
        f"{strongest.null_class_share:.0%}"
    )
    same = _layer(before, strongest.layer)
    if same is not None and math.isfinite(same.class_share):
        text += f", before training {same.class_share:.0%}"
    more = [found for found in layers if found.vector_classes > found.null_vector_classes]
    classes = (
        f"Groups of directions that serve the same classes: in {len(more)} of {len(layers)} layers there are more than "
        "chance gives."
    )
    return [f"{text}.", classes]


def _layer(record: LayerHierarchies | None, name: str) -> LayerHierarchy | None:
    for found in record.layers if record is not None else ():
        if found.layer == name:
            return found
    return None


def _diagram(hierarchy: HierarchyRecord | HierarchyReport) -> Group:
    """The Hasse diagram with what can be said of it, and the same as a table."""
    record = hierarchy.hierarchy if isinstance(hierarchy, HierarchyReport) else hierarchy
    statements = hierarchy.statements if isinstance(hierarchy, HierarchyReport) else (record.summary(),)
    parts: list[Part] = [Text(statement) for statement in statements]
    figure = hasse_figure(hierarchy)
    if figure is not None:
        alt = f"Hasse diagram of layer {record.layer} with {record.depth} levels; the table below has all its boxes."
        caption = (
            "General groups above, special ones below: a line leads to a group whose classes are among those above."
        )
        parts.append(figure_picture(figure, alt, caption))
        parts.append(Group("The diagram as a table", [_boxes(record)], is_folded=True))
    return Group(f"Layer {record.layer}", parts)


def _boxes(record: HierarchyRecord) -> Table:
    rows = []
    for found in record.equivalence:
        names = [record.class_names[position] for position in found.classes]
        listed = ", ".join(names[:MAX_NAMED])
        if len(names) > MAX_NAMED:
            listed += f" and {len(names) - MAX_NAMED} more"
        certainty = "yes" if found.is_decided else "no"
        rows.append((record.node_name(found.nodes[0]), str(len(found.nodes)), str(found.level), certainty, listed))
    header = ("first direction", "directions", "level", "certain", "classes")
    return Table(f"Groups of directions in layer {record.layer}", header, rows)


def _numbers(record: LayerHierarchies, before: LayerHierarchies | None) -> Table:
    header = ["layer", "between classes", "by chance"]
    header += ["before training"] if before is not None else []
    header += ["groups", "by chance", "levels", "by chance", "undecided"]
    rows = []
    for found in record.layers:
        cells = [found.layer, format_number(found.class_share), format_number(found.null_class_share)]
        if before is not None:
            same = _layer(before, found.layer)
            cells.append(format_number(None if same is None else same.class_share))
        for value in (
            found.vector_classes,
            found.null_vector_classes,
            found.hierarchy_depth,
            found.null_hierarchy_depth,
            found.undecided_memberships,
        ):
            cells.append(format_number(value))
        rows.append(cells)
    caption = (
        "Share of the variance of the signals between the predicted classes, groups of directions and levels of their "
        "order; by chance: what 95 % of permutations of the classes do not exceed"
    )
    return Table(caption, header, rows)


HIERARCHY = Section(
    "Hierarchy",
    "hierarchy",
    "Every layer turns its input along some directions, the singular vectors of its weights. A direction belongs to a "
    "class where most images of the class excite it strongly; groups of directions that belong to the same classes "
    "are ordered by inclusion, from those for many classes to those for one (Praggastis et al., 2022). The classes are "
    "those that the network predicts. Untrained networks have such groups too: the sizes alone are no sign of learning.",
    "Add the measurement SemanticHierarchy() to the lens, or report a checkpoint with --model and --data.",
    _build,
)
