"""The scalars of the hierarchies of a run."""

from __future__ import annotations

from lightning_factorlens.measurements.scalar import Detail, Scalar

#: Name of the measurement and of its record.
NAME = "semantic_hierarchy"
CHART = "signals: share of variance between predicted classes"
CHANCE = "The same with permuted classes: the 95 % quantile of 20 permutations."
#: Quantity, help and unit of the scalars of every layer.
PER_LAYER = (
    ("class_share", "Share of the variance of a layer's signals that lies between the predicted classes.", ""),
    ("null_class_share", CHANCE, ""),
    ("significant_nodes", "Sides of singular vectors that are significant for at least one class.", "nodes"),
    ("null_significant_nodes", CHANCE, "nodes"),
    ("vector_classes", "Classes of them: those that are significant for the same classes of images.", "classes"),
    ("null_vector_classes", CHANCE, "classes"),
    ("hierarchy_depth", "Classes of vectors in the longest chain.", "classes"),
    ("null_hierarchy_depth", CHANCE, "classes"),
    ("undecided_memberships", "Pairs of a class and a node for which the images do not suffice.", "pairs"),
)
#: The scalars of the whole network.
OF_THE_NETWORK = (
    Scalar(
        "mean_class_share",
        "{prefix}_hierarchy/class_share",
        "Share of the variance of a layer's signals that lies between the predicted classes; mean over the layers.",
        reading="It grows while the layers learn to tell classes apart, but is near 0 while few classes are predicted; "
        "untrained weights with the same classes have shares above 0, too (see class_share).",
        chart=CHART,
        monitored=True,
        starts_later=True,
        of_class_scores=True,
    ),
    Scalar(
        "mean_null_class_share",
        "{prefix}_hierarchy/null_class_share",
        "The same with permuted classes: what chance gives, the 95 % quantile of 20 permutations.",
        chart=CHART,
        of_class_scores=True,
    ),
    Scalar(
        "predicted_classes",
        "{prefix}_hierarchy/predicted_classes",
        "Number of classes that are predicted for at least one sample.",
        unit="classes",
        detail="layers",
        of_class_scores=True,
    ),
)


def _layer_scalars() -> tuple[Scalar, ...]:
    declared = []
    for quantity, text, unit in PER_LAYER:
        detail: Detail = "layers" if quantity == "class_share" else "all"
        tag = f"{{prefix}}_hierarchy/{{scope}}/{quantity}"
        declared.append(Scalar(quantity, tag, text, unit=unit, detail=detail, of_class_scores=True))
    return tuple(declared)


#: All scalars of `SemanticHierarchy`.
HIERARCHY_SCALARS = (*OF_THE_NETWORK, *_layer_scalars())
