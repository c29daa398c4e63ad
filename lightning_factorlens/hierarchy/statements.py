"""What a hierarchy is worth, in words: the sizes beside their nulls, stability, and what cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens._validation import check_type
from lightning_factorlens.hierarchy.class_share import class_share
from lightning_factorlens.hierarchy.hypergraph import hierarchy
from lightning_factorlens.hierarchy.semantic_hierarchy import Hierarchy
from lightning_factorlens.hierarchy.significance import significance
from lightning_factorlens.results import (
    ClassShare,
    HierarchyReport,
    HierarchySizes,
    HierarchyStability,
    NullSizes,
    Signals,
)
from lightning_factorlens.results.hierarchy_evidence import SIZES

#: Level below which permuted labels count as excluded.
LEVEL = 0.05
#: Share of the resamples between whose sizes two networks are compared.
COVERAGE = 0.95


def hierarchy_report(
    found: Hierarchy,
    signals: Signals,
    untrained: Sequence[Signals] = (),
    permutations: int = 200,
    resamples: int = 40,
    seed: int = 0,
) -> HierarchyReport:
    """A hierarchy beside permuted labels, resamples of the images, and untrained networks.

    A hierarchy can be told from permuted labels if one of its three sizes is larger than theirs with p ≤ 0.05 after
    Bonferroni's correction. It can be told from untrained weights if the middle 95 % of one of its sizes over the
    resamples lies apart from those of every untrained network.

    Args:
        found: From `hierarchy`.
        signals: The signals that it was made from.
        untrained: The signals of the same layer and images in networks with random weights; with a single one, the
            spread between seeds is unknown, so three are better. The classes are those of ``found``.
        permutations: Number of permutations of the labels.
        resamples: Number of resamples.
        seed: Seed of all random numbers.

    Returns:
        The sizes, the tests, and the consequences in words.

    Raises:
        ValueError: The hyperedges of ``found`` are images, signals have another number of images, or as `hierarchy` and
            `class_share`.
    """
    check_type("found", found, Hierarchy, "pass what hierarchy.hierarchy returns")
    permuted = found.null(permutations, seed)
    stability = found.stability(resamples, seed)
    share = class_share(signals, found.labels, permutations, seed)
    made = found.significance
    untrained_sizes, untrained_resamples, untrained_shares = [], [], []
    for other_signals in untrained:
        other_significance = significance(other_signals, made.q, made.scope, made.sides, made.statistic)
        other = hierarchy(other_significance, found.labels, found.p, found.confidence)
        untrained_sizes.append(other.sizes)
        untrained_resamples.append(other.stability(resamples, seed, permutations=0).sizes)
        untrained_shares.append(class_share(other_signals, found.labels, 1, seed).share)
    is_like_untrained = bool(untrained) and not _differs(stability.sizes, untrained_resamples)
    warning = _warning(permuted.p_value > LEVEL, is_like_untrained)
    statements = [found.summary(), _permuted_sentence(permuted)]
    if untrained:
        statements.append(_untrained_sentence(untrained_sizes, is_like_untrained))
    else:
        statements.append("It was not compared with untrained weights, without which its sizes prove nothing.")
    statements += [_stability_sentence(stability, len(found.equivalence)), _share_sentence(share, untrained_shares)]
    if warning:
        statements.append(f"The hierarchy {warning}.")
    return HierarchyReport(
        found.record,
        permuted,
        stability,
        share,
        tuple(untrained_sizes),
        torch.stack(untrained_resamples) if untrained else torch.zeros(0, resamples, len(SIZES), dtype=torch.float64),
        tuple(untrained_shares),
        tuple(statements),
        warning,
    )


def _differs(sizes: Tensor, others: Sequence[Tensor]) -> bool:
    """Whether one of the three sizes lies apart from that of every other network, over the resamples."""
    for size in range(len(SIZES)):
        lowest, highest = _range(sizes[:, size])
        ranges = [_range(other[:, size]) for other in others]
        if all(highest < other_lowest or lowest > other_highest for other_lowest, other_highest in ranges):
            return True
    return False


def _range(sizes: Tensor) -> tuple[float, float]:
    """The smallest and the largest size of the middle share `COVERAGE` of the resamples."""
    ordered = sizes.sort().values.tolist()
    left_out = int(len(ordered) * (1 - COVERAGE) / 2)
    return ordered[left_out], ordered[-1 - left_out]


def _warning(like_permuted: bool, like_untrained: bool) -> str:
    nulls = []
    if like_permuted:
        nulls.append("permuted labels")
    if like_untrained:
        nulls.append("untrained weights")
    return f"cannot be told from {' or from '.join(nulls)} by its sizes" if nulls else ""


def _permuted_sentence(permuted: NullSizes) -> str:
    sizes = ", ".join(f"{permuted.mean(size):.1f} {name}" for size, name in SIZES.items())
    p_values = ", ".join(f"{p:.2g}" for p in permuted.p_values)
    return (
        f"Permuted labels give {sizes} on average over {len(permuted.permuted)} permutations; p = {p_values}, "
        f"corrected for three tests {permuted.p_value:.2g}."
    )


def _untrained_sentence(untrained: Sequence[HierarchySizes], is_like: bool) -> str:
    parts = []
    for size, name in SIZES.items():
        found = [str(getattr(sizes, size)) for sizes in untrained]
        parts.append(f"{'/'.join(found)} {name}")
    networks = "The untrained network gives" if len(untrained) == 1 else f"{len(untrained)} untrained networks give"
    text = f"{networks} {', '.join(parts)}"
    if is_like:
        return f"{text}: as far as the resamples tell, these sizes say nothing about training."
    return f"{text}: over the resamples, at least one size lies apart from all of them."


def _stability_sentence(stability: HierarchyStability, n_classes: int) -> str:
    drawn = "with replacement" if stability.kind == "bootstrap" else "a half of each class"
    text = (
        f"{stability.survivors} of {n_classes} classes of vectors survive {100 * stability.level:g} % of "
        f"{stability.n} resamples of the images ({drawn}, within classes)"
    )
    if not stability.permuted_survivors:
        return f"{text}."
    mean = sum(stability.permuted_survivors) / len(stability.permuted_survivors)
    return f"{text}; a permuted labelling gives {mean:.2g}."


def _share_sentence(share: ClassShare, untrained: Sequence[float]) -> str:
    if math.isnan(share.share):
        return "The signals do not vary."
    text = (
        f"{100 * share.share:.0f} % of the variance of the signals lies between the classes (permuted labels "
        f"{100 * share.expected:.1f} %, p = {share.p_value:.2g})"
    )
    if not untrained:
        return f"{text}."
    found = ", ".join(f"{100 * value:.0f} %" for value in untrained)
    return f"{text}; with untrained weights {found}."
