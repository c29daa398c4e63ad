"""Section: which classes the directions of the weights tell apart, and their order by inclusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lightning_factorlens.measurements import SemanticHierarchy
from lightning_factorlens.plots import hasse_figure
from lightning_factorlens.report.class_words import named_hierarchy, percent, two_digits
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
        parts.append(_diagram(named_hierarchy(diagram, subject.class_names)))
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
        f"{len(layers)} layers the singular vectors tell them apart better than chance. They do so best in layer "
        f"{strongest.layer}, where {percent(strongest.class_share)} of the variance of the signals lies between the "
        f"classes; chance gives at most {percent(strongest.null_class_share)}"
    )
    same = _layer(before, strongest.layer)
    if same is not None and math.isfinite(same.class_share):
        predicted = before.predicted_classes if before is not None else 0
        noun = "class" if predicted == 1 else "classes"
        text += (
            f", and before training, when the network predicted {predicted} {noun}, it was {percent(same.class_share)}"
        )
    more = [found for found in layers if found.vector_classes > found.null_vector_classes]
    classes = f"In {len(more)} of {len(layers)} layers there are more classes of vectors than chance gives."
    return [f"{text}.", classes]


def _layer(record: LayerHierarchies | None, name: str) -> LayerHierarchy | None:
    for found in record.layers if record is not None else ():
        if found.layer == name:
            return found
    return None


def _diagram(hierarchy: HierarchyRecord | HierarchyReport) -> Group:
    """The Hasse diagram with what can be said of it, and the same as a table."""
    record = hierarchy.hierarchy if isinstance(hierarchy, HierarchyReport) else hierarchy
    parts: list[Part] = [Text(_summary(record))]
    if isinstance(hierarchy, HierarchyReport):
        if hierarchy.warning:
            parts.append(Text(f"This order {hierarchy.warning}.", "Caution."))
        evidence = [Text(statement) for statement in hierarchy.statements[1:]]
        parts.append(Group("Beside permuted classes, resamples and untrained networks", evidence, is_folded=True))
    figure = hasse_figure(hierarchy)
    if figure is not None:
        alt = f"Hasse diagram of layer {record.layer} with {record.depth} levels; the table below has all its boxes."
        caption = (
            "General classes of vectors stand above special ones; a line leads down to one that serves a part of the "
            "same classes of images."
        )
        parts.append(replace(figure_picture(figure, alt, caption), is_wide=True))
        parts.append(Group("The diagram as a table", [_boxes(record)], is_folded=True))
    return Group(f"The order in layer {record.layer}", parts)


def _summary(record: HierarchyRecord) -> str:
    sizes = record.sizes
    return (
        f"Here {sizes.nodes} nodes, the sides of {record.n_vectors} singular vectors, belong to at least one class. "
        f"They form {sizes.vector_classes} classes of vectors in {sizes.depth} levels. Of the pairs of a node and a "
        f"class, {record.memberships} belong together; for {record.undecided} the {sum(record.class_counts)} images do "
        "not suffice to be sure."
    )


def _boxes(record: HierarchyRecord) -> Table:
    rows = []
    for found in record.equivalence:
        names = [record.class_names[position] for position in found.classes]
        listed = ", ".join(names[:MAX_NAMED])
        if len(names) > MAX_NAMED:
            listed += f" and {len(names) - MAX_NAMED} more"
        certainty = "yes" if found.is_decided else "no"
        rows.append((record.node_name(found.nodes[0]), str(len(found.nodes)), str(found.level), certainty, listed))
    header = ("first node", "nodes", "level", "certain", "classes of images")
    return Table(f"Classes of vectors in layer {record.layer}", header, rows)


def _numbers(record: LayerHierarchies, before: LayerHierarchies | None) -> Table:
    header = ["layer", "share between classes", "by chance"]
    header += ["before training"] if before is not None else []
    header += ["classes of vectors", "by chance", "levels", "by chance", "undecided pairs"]
    rows = []
    for found in record.layers:
        cells = [found.layer, two_digits(found.class_share), two_digits(found.null_class_share)]
        if before is not None:
            same = _layer(before, found.layer)
            cells.append(two_digits(None if same is None else same.class_share))
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
        "Share of the signals' variance that lies between the predicted classes, and the classes of vectors; by "
        "chance: what 95 % of permutations of the images' classes do not exceed"
    )
    return Table(caption, header, rows)


HIERARCHY = Section(
    "Hierarchy",
    "hierarchy",
    "A layer answers its input along the singular vectors of its weights. The strength of an answer is a signal, and "
    "the two sides of a vector, positive and negative, are its nodes. A node belongs to a class where most images of "
    "the class excite it strongly; nodes that belong to the same classes form a class of vectors, and these are "
    "ordered by inclusion, from those for many classes to those for one (Praggastis et al., 2022). The classes are "
    "those that the network itself predicts. Untrained networks have such an order too: its size alone is no sign of "
    "learning.",
    "Add the measurement SemanticHierarchy() to the lens, or report a checkpoint with --model and --data.",
    _build,
)
