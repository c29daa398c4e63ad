"""What a hierarchy is worth, in words: the sizes beside their nulls, stability, and what cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_factorlens._validation import check_type
from lightning_factorlens.hierarchy.class_share import class_share
from lightning_factorlens.hierarchy.hypergraph import hierarchy
from lightning_factorlens.hierarchy.semantic_hierarchy import Hierarchy
from lightning_factorlens.hierarchy.significance import significance
from lightning_factorlens.results import HierarchyReport, HierarchySizes, Signals
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
    resamples lies outside of the range of those of all untrained networks.

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
    _check_signals(found, signals, untrained)
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
    differences = _differences(stability.sizes, untrained_resamples) if untrained else []
    warning = _warning(permuted.p_value > LEVEL, bool(untrained) and not differences)
    statements = [found.summary(), permuted.summary()]
    if untrained:
        statements.append(_untrained_sentence(untrained_sizes, differences))
    else:
        statements.append("It was not compared with untrained weights, without which its sizes prove nothing.")
    statements += [stability.summary(), share.summary(untrained_shares)]
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


def _check_signals(found: Hierarchy, signals: Signals, untrained: Sequence[Signals]) -> None:
    """Checks that all signals are those of the hierarchy's layer."""
    advice = "pass one of the layers of FactorLens.signals"
    check_type("signals", signals, Signals, advice)
    if not isinstance(untrained, (list, tuple)):
        raise ValueError(f"untrained: must be a list, one entry for each network, found {type(untrained).__name__}.")
    for argument, given in [("signals", signals), *[("untrained", other) for other in untrained]]:
        check_type(argument, given, Signals, advice)
        if given.layer != found.layer:
            raise ValueError(
                f"{argument}: found those of layer {given.layer!r}; the hierarchy is that of {found.layer!r}, so pass "
                "the signals of this layer."
            )


def _differences(sizes: Tensor, others: Sequence[Tensor]) -> list[str]:
    """Which of the three sizes lie outside of the range of all other networks, over the resamples, in words."""
    found = []
    for index, name in enumerate(SIZES.values()):
        lowest, highest = _range(sizes[:, index])
        ranges = [_range(other[:, index]) for other in others]
        if lowest > max(other_highest for _, other_highest in ranges):
            found.append(f"more {name}" if name != "depth" else "a larger depth")
        if highest < min(other_lowest for other_lowest, _ in ranges):
            found.append(f"fewer {name}" if name != "depth" else "a smaller depth")
    return found


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


def _untrained_sentence(untrained: Sequence[HierarchySizes], differences: Sequence[str]) -> str:
    parts = []
    for size, name in SIZES.items():
        found = [str(getattr(sizes, size)) for sizes in untrained]
        parts.append(f"{'/'.join(found)} {name}")
    networks = "The untrained network gives" if len(untrained) == 1 else f"{len(untrained)} untrained networks give"
    text = f"{networks} {', '.join(parts)}"
    if not differences:
        return f"{text}: as far as the resamples tell, these sizes say nothing about training."
    chance = min(1.0, 2 / (len(untrained) + 1))
    return (
        f"{text}; the trained one has {' and '.join(differences)} over the resamples. Among {len(untrained) + 1} equal "
        f"networks a given one is outermost in a size with probability {chance:.2g}: more untrained ones say more."
    )
