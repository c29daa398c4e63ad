"""The hypergraph of a layer, with classes or images as hyperedges, and the hierarchy that it induces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens._validation import check_positions, check_type, is_number
from lightning_factorlens.hierarchy.incidence import ClassLabels, class_labels, significant_counts
from lightning_factorlens.hierarchy.intervals import wilson_interval
from lightning_factorlens.hierarchy.order import chain_levels, group_nodes, hasse_edges, larger_sets, members
from lightning_factorlens.hierarchy.semantic_hierarchy import Hierarchy
from lightning_factorlens.hierarchy.significance import Significance
from lightning_factorlens.results import VectorClass


def hierarchy(
    significance: Significance,
    classes: Tensor | Sequence[int | str],
    p: float = 0.75,
    confidence: float = 0.95,
    names: Sequence[str] | None = None,
) -> Hierarchy:
    """The hierarchy of the singular vectors of a layer (Praggastis et al., 2022, section 5).

    A node belongs to a class if it is significant for at least a share p of its images. Nodes of the same classes are
    equivalent (equation 17), and a class of nodes is above another if it has all classes of the other and more
    (equation 18). Beside the paper's membership, Wilson's interval of each share says whether the images suffice to
    decide it.

    Args:
        significance: From `significance`.
        classes: The class of each image: whole numbers or words; −1 for an image that has none.
        p: The share, above 0 and at most 1. The paper takes 0.75, and asks for more than a half.
        confidence: Probability with which each interval holds the share. With p = 0.75 and 95 %, a class needs at least
            12 images before a membership can be decided.
        names: A name for each number in ``classes``; None for the numbers.

    Returns:
        The hierarchy; without equivalence classes if no node belongs to a class.

    Raises:
        ValueError: An argument is none of the above.

    Example:
        >>> from lightning_factorlens.hierarchy import significance
        >>> from lightning_factorlens.results import Signals
        >>> values = torch.tensor([[3.0, 2.0], [4.0, 0.1], [3.5, 0.2]])
        >>> signals = Signals("fc", values, s=torch.tensor([2.0, 1.0]), group=torch.zeros(2))
        >>> found = hierarchy(significance(signals, q=0.6), ["cat", "dog", "dog"])
        >>> print(found.table())
        node  nodes  level  interval   classes
        ----  -----  -----  ---------  --------
        v0+       1      1  undecided  cat, dog
        v1+       1      2  undecided  cat
        >>> found.hasse
        ((0, 1),)
    """
    check_type("significance", significance, Significance, "pass what hierarchy.significance returns")
    _check_share("p", p, 1.0)
    _check_share("confidence", confidence, 0.999_999)
    labels = class_labels(classes, len(significance.significant), names)
    sizes = labels.counts[:, None]
    counts = significant_counts(significance.significant, labels.labels, len(labels.names))
    lower, upper = wilson_interval(counts, sizes, confidence)
    shares = counts.double() / sizes
    return _make(significance, labels, "classes", (p, confidence), (shares, lower, upper))


def image_hierarchy(significance: Significance, images: Sequence[int]) -> Hierarchy:
    """The hierarchy with images as hyperedges: which nodes some images have in common (Praggastis et al., figure 10).

    Args:
        significance: From `significance`; its quantile is that of all its images, not of those chosen alone.
        images: Positions of the images, each once.

    Returns:
        The hierarchy. Its classes are the images, named by their positions; no membership is undecided.

    Raises:
        ValueError: No image, an image twice, or a position that does not exist.
    """
    check_type("significance", significance, Significance, "pass what hierarchy.significance returns")
    n_images = len(significance.significant)
    chosen = check_positions("images", images, n_images, "images")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"images: must be different ones, found {chosen!r:.200}.")
    positions = torch.full((n_images,), -1)
    positions[torch.tensor(chosen)] = torch.arange(len(chosen))
    labels = ClassLabels(tuple(map(str, chosen)), positions)
    shares = significance.significant[torch.tensor(chosen)].double()
    return _make(significance, labels, "images", (1.0, 1.0), (shares, shares, shares))


def _check_share(name: str, value: Any, largest: float) -> None:
    if not is_number(value) or not 0 < value <= largest:
        raise ValueError(f"{name}: must be a number above 0 and at most {largest:g}, found {value!r}.")


def _make(
    significance: Significance,
    labels: ClassLabels,
    hyperedges: str,
    levels: tuple[float, float],
    intervals: tuple[Tensor, Tensor, Tensor],
) -> Hierarchy:
    """The hierarchy of shares with their intervals, of the nodes that belong or may belong to a class."""
    p, confidence = levels
    kept = (intervals[1] < p) & (intervals[2] >= p) | (intervals[0] >= p)
    nodes = kept.any(0).nonzero()[:, 0]
    shares, lower, upper = (values[:, nodes] for values in intervals)
    is_decided = ((lower >= p) | (upper < p)).all(0).tolist()
    class_sets, groups = group_nodes((shares >= p).numpy())
    edges = hasse_edges(larger_sets(class_sets))
    equivalence = []
    for class_set, group, level in zip(class_sets, groups, chain_levels(len(class_sets), edges)):
        decided = any(is_decided[node] for node in group)
        equivalence.append(VectorClass(tuple(group), members(class_set), level, decided))
    return Hierarchy(
        layer=significance.layer,
        q=significance.q,
        p=p,
        confidence=confidence,
        scope=significance.scope,
        sides=significance.sides,
        hyperedges=hyperedges,
        n_vectors=significance.n_vectors,
        n_undetermined=significance.n_undetermined,
        class_names=labels.names,
        class_counts=tuple(labels.counts.tolist()),
        nodes=tuple(significance.nodes[node] for node in nodes.tolist()),
        shares=shares,
        lower=lower,
        upper=upper,
        equivalence=tuple(equivalence),
        hasse=tuple(edges),
        significance=significance,
        labels=labels.labels,
    )
